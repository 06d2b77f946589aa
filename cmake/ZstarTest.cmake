# zstar_add_test(NAME SOURCES … [LINK …] [PLUGINS target …] [LABELS fast|slow|install] [TIMEOUT s])
# A GoogleTest program. It finds the plugins of this tree by itself; PLUGINS only says what must be built before.
find_package(GTest REQUIRED)
include(GoogleTest)

function(zstar_add_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LINK;PLUGINS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE zstar_core GTest::gtest_main GTest::gmock ${T_LINK})
  target_compile_definitions(${name} PRIVATE ZSTAR_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             ZSTAR_BINARY_DIR="${CMAKE_BINARY_DIR}" ZSTAR_PLUGIN_DIR="${ZSTAR_PLUGIN_FOLDER}")
  zstar_own_target(${name})
  if(T_PLUGINS)
    add_dependencies(${name} ${T_PLUGINS})
  endif()
  if(NOT T_LABELS)
    set(T_LABELS fast)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})  # one process a program: LibTorch takes half a second to load
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT})
endfunction()
