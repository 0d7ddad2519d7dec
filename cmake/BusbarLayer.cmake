# The headers that most files use, compiled once: one target for what is optimised and, with GoogleTest, one for tests.
# GCC takes a precompiled header only where the macros are those that it was made with, so what its headers are
# configured by is defined for every target.
if(BUSBAR_PCH)
  set(common_headers <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <optional> <set> <span> <string>
    <string_view> <utility> <variant> <vector> <fmt/format.h> "${PROJECT_SOURCE_DIR}/src/base/error.h")
  add_compile_definitions($<TARGET_PROPERTY:fmt::fmt,INTERFACE_COMPILE_DEFINITIONS>)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/empty.cc" CONTENT "")
  add_library(busbar_headers OBJECT "${PROJECT_BINARY_DIR}/empty.cc")
  target_include_directories(busbar_headers PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_precompile_headers(busbar_headers PRIVATE ${common_headers})
  if(BUSBAR_TESTS)
    # A program, as tests are: code for programs and for libraries is not the same to GCC here either.
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/empty_main.cc" CONTENT "int main() {}\n")
    add_executable(busbar_test_headers "${PROJECT_BINARY_DIR}/empty_main.cc")
    target_compile_options(busbar_test_headers PRIVATE -O0)
    target_include_directories(busbar_test_headers PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(busbar_test_headers PRIVATE GTest::gtest)
    target_precompile_headers(busbar_test_headers PRIVATE ${common_headers} <gtest/gtest.h>)
  endif()
endif()

# busbar_layer(NAME sources... DEPS targets... [PRIVATE targets...])
# A static library for one folder of src/; the target of src/a/b is busbar_a_b. What a fuzz target needs of a folder may be
# a library of its own, busbar_a_b_parsers.
function(busbar_layer name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE" ${ARGN})
  set(target busbar_${name})
  add_library(${target} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE})
  if(BUSBAR_PCH)
    target_precompile_headers(${target} REUSE_FROM busbar_headers)
  endif()
endfunction()

file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/base/test_paths.h" CONTENT [[
#pragma once
#define BUSBAR_SOURCE_DIR "@PROJECT_SOURCE_DIR@"
#define BUSBAR_BINARY_DIR "@PROJECT_BINARY_DIR@"
]] @ONLY)

# busbar_test(NAME [SHARDED] sources... DEPS targets...)
# The one test binary of a layer: busbar_NAME_tests. Paths below tests/ and golden files are found by
# BUSBAR_SOURCE_DIR of "base/test_paths.h" (written here); as a definition it would keep other checkouts from the compiler cache.
# SHARDED: it takes long, so tools/run_ctest.py runs it in parts side by side.
function(busbar_test name)
  if(NOT BUSBAR_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "SHARDED" "" "DEPS" ${ARGN})
  set(target busbar_${name}_tests)
  add_executable(${target} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  target_include_directories(${target} PRIVATE "${PROJECT_BINARY_DIR}/generated")
  # What is tested is optimised; the tests themselves are not worth the compiler's time.
  target_compile_options(${target} PRIVATE -O0)
  if(BUSBAR_PCH)
    target_precompile_headers(${target} REUSE_FROM busbar_test_headers)
  endif()
  add_test(NAME ${name} COMMAND ${target})
  if(ARG_SHARDED)
    set_tests_properties(${name} PROPERTIES LABELS sharded)
  endif()
endfunction()

# busbar_fuzz(NAME source DEPS targets...)
# A libFuzzer target fuzz_NAME, built by busbar_fuzzers; its corpus lies in tests/fuzz/corpus/NAME.
function(busbar_fuzz name source)
  if(NOT BUSBAR_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_DEPS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  if(NOT TARGET busbar_fuzzers)
    add_custom_target(busbar_fuzzers)
  endif()
  add_dependencies(busbar_fuzzers fuzz_${name})
endfunction()
