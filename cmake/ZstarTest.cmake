# zstar_add_test(NAME SOURCES … [LINK …] [PLUGINS target …] [LABELS fast|slow|install] [TIMEOUT s])
# A GoogleTest program. It finds the plugins of this tree by itself; PLUGINS only says what must be built before.
find_package(GTest REQUIRED)
include(GoogleTest)

# Half of the time that a test program takes to compile is the optimiser's, and what it spends its time in when it runs is compiled elsewhere.
add_library(zstar_test_flags INTERFACE)
target_compile_options(zstar_test_flags INTERFACE $<$<CONFIG:Release>:-O0>)
target_link_libraries(zstar_test_flags INTERFACE GTest::gtest_main GTest::gmock)
zstar_precompiled(zstar_test_pch LINK zstar_test_flags HEADERS ${ZSTAR_PRECOMPILED} <gmock/gmock.h> <gtest/gtest.h>)

function(zstar_add_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LINK;PLUGINS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE zstar_core zstar_testing ${T_LINK} zstar_test_flags)
  target_compile_definitions(${name} PRIVATE ZSTAR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             ZSTAR_BINARY_DIR="${CMAKE_BINARY_DIR}" ZSTAR_PLUGIN_DIR="${ZSTAR_PLUGIN_FOLDER}")
  zstar_own_target(${name} zstar_test_pch)
  if(T_PLUGINS)
    add_dependencies(${name} ${T_PLUGINS})
  endif()
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  if(NOT T_LABELS)
    set(T_LABELS fast)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})  # one process a program: LibTorch takes half a second to load
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
endfunction()
