# Compiler, warnings, sanitizers, speed of the build.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(BUSBAR_TESTS "build the tests" ON)
option(BUSBAR_BENCH "build the benchmarks" OFF)
option(BUSBAR_FUZZ "build the libFuzzer targets (needs clang)" OFF)
set(BUSBAR_UNITY 0 CACHE STRING "source files of a layer that are compiled as one; 0: each by itself")
option(BUSBAR_PCH "precompile the standard headers that most files use" ON)
set(BUSBAR_SANITIZE "" CACHE STRING "sanitizers to build with, as -fsanitize= takes them, e.g. address,undefined")

add_compile_options(-Wall -Wextra -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  -Werror -fno-omit-frame-pointer)
# A C++-only flag on the one C program is a warning, so an error.
add_compile_options($<$<COMPILE_LANGUAGE:C>:-Wno-error>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these inside libstdc++ for correct std::variant and std::string code (its bugs 105562, 105651).
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow)
endif()
if(BUSBAR_SANITIZE)
  add_compile_options(-fsanitize=${BUSBAR_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BUSBAR_SANITIZE})
  if(BUSBAR_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Boost.Asio has fences, which the sanitizer does not model.
    add_compile_options(-Wno-tsan)
  endif()
endif()

if(BUSBAR_UNITY GREATER 0)
  # Most of the time goes into headers and templates that the files of a layer share.
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE ${BUSBAR_UNITY})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # It takes the files that are joined for headers, where such a field would be a mistake.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
  endif()
endif()

find_program(BUSBAR_CCACHE ccache)
if(BUSBAR_CCACHE)
  # The sloppiness lets ccache serve objects that were built with a precompiled header.
  set(launcher "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;CCACHE_BASEDIR=${CMAKE_SOURCE_DIR};${BUSBAR_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${launcher}")
  set(CMAKE_C_COMPILER_LAUNCHER "${launcher}")
  if(BUSBAR_PCH AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
find_program(BUSBAR_MOLD mold)
if(BUSBAR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
