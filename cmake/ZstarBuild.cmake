# How this tree builds its own targets: one set of flags, so that one precompiled header serves them all.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1")  # assertions stay; line tables are all that a report needs
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)  # -DCMAKE_UNITY_BUILD=ON halves a fresh build: half of a small file's time is LibTorch's headers
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(ZSTAR_PLUGIN_FOLDER "${CMAKE_BINARY_DIR}/plugins")
set(ZSTAR_SANITIZE "" CACHE STRING "address,undefined or thread: instrument everything")

find_program(ZSTAR_CCACHE ccache)
if(ZSTAR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_IGNOREOPTIONS=-Werror=invalid-pch ${ZSTAR_CCACHE})
endif()

find_package(Threads REQUIRED)

add_library(zstar_flags INTERFACE)
target_compile_options(zstar_flags INTERFACE -fPIC -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Winvalid-pch
  $<$<CXX_COMPILER_ID:GNU>:-Werror=invalid-pch>  # a precompiled header that is passed over doubles what a file costs
  $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique -fpch-preprocess>)
if(ZSTAR_SANITIZE)
  target_compile_options(zstar_flags INTERFACE -fsanitize=${ZSTAR_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(zstar_flags INTERFACE -fsanitize=${ZSTAR_SANITIZE})
  add_library(zstar_sanitizer_defaults OBJECT "${CMAKE_CURRENT_LIST_DIR}/sanitizer_defaults.cpp")
endif()

# zstar_precompiled(NAME LINK lib … HEADERS <h> …): a precompiled header that many targets use.
function(zstar_precompiled name)
  cmake_parse_arguments(H "" "" "LINK;HEADERS" ${ARGN})
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp" "\n")
  add_library(${name} OBJECT "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  target_link_libraries(${name} PRIVATE zstar_sdk zstar_flags ${H_LINK})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF
    CXX_COMPILER_LAUNCHER "${PROJECT_SOURCE_DIR}/cmake/fresh_pch.sh;${CMAKE_CXX_COMPILER_LAUNCHER}")
  target_precompile_headers(${name} PRIVATE ${H_HEADERS})
endfunction()
set(ZSTAR_PRECOMPILED <zstar/sdk.hpp> <zstar/abi/gradient.hpp> <torch/csrc/autograd/autograd.h>)

# zstar_own_target(TARGET [PRECOMPILED]) gives a target of this tree its flags and a precompiled header, that of the SDK if none is named.
function(zstar_own_target target)
  target_link_libraries(${target} PRIVATE zstar_flags)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF DEFINE_SYMBOL "")
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    target_link_options(${target} PRIVATE -pie)
    set_target_properties(${target} PROPERTIES BUILD_RPATH "${ZSTAR_TORCH_LIBDIR}" INSTALL_RPATH "${ZSTAR_TORCH_RPATH}")
    if(ZSTAR_SANITIZE)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:zstar_sanitizer_defaults>)
    endif()
  endif()
  set(precompiled zstar_pch)
  if(ARGN)
    set(precompiled ${ARGN})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${precompiled})
endfunction()

# Removes what this build made of plugins whose folders are gone: the library would go on offering their parts.
function(zstar_forget_plugins)
  file(GLOB made LIST_DIRECTORIES true "${CMAKE_BINARY_DIR}/plugins/*/*/CMakeFiles/*.dir")
  foreach(folder IN LISTS made)
    cmake_path(GET folder STEM LAST_ONLY name)
    if(NOT TARGET ${name})
      file(REMOVE "${ZSTAR_PLUGIN_FOLDER}/zstar-${name}.so")
    endif()
  endforeach()
endfunction()
