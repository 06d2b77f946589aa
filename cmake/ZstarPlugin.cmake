# zstar_add_plugin(NAME SOURCES a.cpp … [PARTS b.cpp …] [LINK lib …] [TEST test.cpp …] [NO_CHECK] [FOLDER dir])
#
# Builds the plugin zstar-NAME.so. Inside the zstar tree it lands where the program finds it and TEST sources become its
# unit tests; elsewhere, `zstar plugins check` looks at it after each build, and TEST sources become a GoogleTest program
# that is linked with zstar::testing, where BUILD_TESTING is on. PARTS are sources of the plugin that its tests
# link too, compiled once for both. With FOLDER it lands there instead and is not installed.
set(_zstar_map "${CMAKE_CURRENT_LIST_DIR}/plugin.map")

function(zstar_add_plugin name)
  cmake_parse_arguments(P "NO_CHECK" "FOLDER" "SOURCES;PARTS;LINK;TEST" ${ARGN})
  if("${CMAKE_CXX_FLAGS} ${CMAKE_SHARED_LINKER_FLAGS} ${CMAKE_MODULE_LINKER_FLAGS}" MATCHES
     "(-Ofast|-ffast-math|-funsafe-math-optimizations|-static-libstdc\\+\\+)")
    message(FATAL_ERROR "zstar_add_plugin(${name}): ${CMAKE_MATCH_1} would change the host process. "
                        "Remove it from the compiler flags.")
  endif()
  if(P_PARTS)
    add_library(${name}_parts OBJECT ${P_PARTS})
    target_link_libraries(${name}_parts PRIVATE zstar::sdk ${P_LINK})
    set_target_properties(${name}_parts PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${name}_parts PRIVATE -fno-gnu-unique)
    endif()
    if(COMMAND zstar_own_target)
      zstar_own_target(${name}_parts)
    endif()
    list(APPEND P_SOURCES $<TARGET_OBJECTS:${name}_parts>)
    if(P_TEST)
      list(APPEND P_TEST $<TARGET_OBJECTS:${name}_parts>)
    endif()
  endif()
  add_library(${name} MODULE ${P_SOURCES})
  target_link_libraries(${name} PRIVATE zstar::sdk ${P_LINK})
  set_target_properties(${name} PROPERTIES PREFIX "" OUTPUT_NAME "zstar-${name}" SUFFIX ".so"
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF
    SKIP_BUILD_RPATH ON SKIP_INSTALL_RPATH ON)  # an RPATH is how a second LibTorch gets in
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE -fno-gnu-unique)
  endif()
  target_link_options(${name} PRIVATE "LINKER:--version-script=${_zstar_map}" LINKER:-z,now LINKER:-z,nodelete
    LINKER:-z,noexecstack LINKER:--build-id)
  if(NOT ZSTAR_SANITIZE)
    target_link_options(${name} PRIVATE LINKER:--no-undefined)
  endif()
  if(COMMAND zstar_own_target)
    zstar_own_target(${name})
    if(P_FOLDER)
      set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${P_FOLDER}")
    else()
      set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${ZSTAR_PLUGIN_FOLDER}")
      install(TARGETS ${name} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/zstar/plugins)
      set_property(GLOBAL APPEND PROPERTY ZSTAR_PLUGINS ${name})
    endif()
    if(P_TEST AND BUILD_TESTING)
      zstar_add_test(${name}_test SOURCES ${P_TEST} PLUGINS ${name})
    endif()
  elseif(NOT P_NO_CHECK)  # every build checks its own plugin
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND zstar::zstar plugins check "$<TARGET_FILE:${name}>")
  endif()
  if(P_TEST AND BUILD_TESTING AND NOT COMMAND zstar_own_target)
    find_package(GTest REQUIRED)
    add_executable(${name}_test ${P_TEST})
    target_link_libraries(${name}_test PRIVATE zstar::testing GTest::gtest_main GTest::gmock)
    target_compile_definitions(${name}_test PRIVATE ZSTAR_PLUGIN_DIR="$<TARGET_FILE_DIR:${name}>:${ZSTAR_INSTALLED_PLUGINS}")
    add_dependencies(${name}_test ${name})
    add_test(NAME ${name}_test COMMAND ${name}_test)
    add_test(NAME ${name}_verify COMMAND zstar::zstar verify "$<TARGET_FILE:${name}>")
  endif()
endfunction()
