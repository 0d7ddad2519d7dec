# cmake -DOUT=x.cc -DFILES=a.yaml;b.yaml -DDIRECTORY=name -P embed_texts.cmake
# Writes a C++ source that holds the files as text, in pieces that every compiler takes as literals.
set(text "#include \"chip/builtin_catalogue.h\"\n\nnamespace busbar::chip {\nnamespace {\n\n")
set(list "")
set(number 0)
foreach(file IN LISTS FILES)
  file(READ "${file}" content HEX)
  get_filename_component(name "${file}" NAME)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${content}")
  string(APPEND text "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND list "      {.name = \"${DIRECTORY}/${name}\", .text = text_of(kFile${number}, sizeof kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "\nstd::string text_of(const unsigned char* bytes, std::size_t size) {\n"
  "  return {reinterpret_cast<const char*>(bytes), size};\n}\n\n}  // namespace\n\n"
  "const std::vector<CatalogueFile>& builtin_catalogue_files() {\n"
  "  static const std::vector<CatalogueFile> kFiles = {\n${list}  };\n  return kFiles;\n}\n\n}  // namespace busbar::chip\n")
file(WRITE "${OUT}" "${text}")
