# busbar_layer(NAME sources... DEPS targets... [PRIVATE targets...])
# One static library for one folder of src/; the target of src/a/b is busbar_a_b.
function(busbar_layer name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE" ${ARGN})
  set(target busbar_${name})
  add_library(${target} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE})
  if(BUSBAR_PCH)
    target_precompile_headers(${target} PRIVATE
      <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <optional> <span> <string> <string_view>
      <utility> <variant> <vector>)
  endif()
endfunction()

# busbar_test(NAME sources... DEPS targets...)
# The one test binary of a layer: busbar_NAME_tests. Paths below tests/ and golden files are found by BUSBAR_SOURCE_DIR.
function(busbar_test name)
  if(NOT BUSBAR_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  set(target busbar_${name}_tests)
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE BUSBAR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    BUSBAR_BINARY_DIR="${PROJECT_BINARY_DIR}")
  # What is tested is optimised; the tests themselves are not worth the compiler's time.
  target_compile_options(${target} PRIVATE -O0)
  if(BUSBAR_PCH)
    target_precompile_headers(${target} PRIVATE <gtest/gtest.h> <string> <vector>)
  endif()
  add_test(NAME ${name} COMMAND ${target})
endfunction()

# busbar_fuzz(NAME source DEPS targets...)
# A libFuzzer target fuzz_NAME; its corpus lies in tests/fuzz/corpus/NAME.
function(busbar_fuzz name source)
  if(NOT BUSBAR_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_DEPS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
endfunction()
