# zstar::torch: LibTorch as one imported target. ZSTAR_LIBTORCH names its folder (the zip, or `torch` of a Python
# wheel); unset, the system's. Only the CPU libraries are linked: the program loads CUDA's at run time where it is asked to,
# so that nothing of CUDA is needed to build.
set(ZSTAR_LIBTORCH "" CACHE PATH "LibTorch folder (zip, or the torch folder of a wheel); empty: the system's")

if(ZSTAR_LIBTORCH)
  set(_where HINTS "${ZSTAR_LIBTORCH}" NO_DEFAULT_PATH)
endif()
find_path(ZSTAR_TORCH_INCLUDE torch/script.h ${_where} PATH_SUFFIXES include)
find_path(ZSTAR_TORCH_API_INCLUDE torch/types.h HINTS "${ZSTAR_TORCH_INCLUDE}" NO_DEFAULT_PATH
          PATH_SUFFIXES torch/csrc/api/include)
find_library(ZSTAR_TORCH_CPU torch_cpu ${_where} PATH_SUFFIXES lib)
find_library(ZSTAR_C10 c10 ${_where} PATH_SUFFIXES lib)
foreach(found ZSTAR_TORCH_INCLUDE ZSTAR_TORCH_API_INCLUDE ZSTAR_TORCH_CPU ZSTAR_C10)
  if(NOT ${found})
    message(FATAL_ERROR "LibTorch was not found (${found}). Install Debian's libtorch-dev, or give the folder of a "
                        "LibTorch 2.x with ./zs --libtorch DIR (cmake: -DZSTAR_LIBTORCH=DIR).")
  endif()
endforeach()

file(STRINGS "${ZSTAR_TORCH_API_INCLUDE}/torch/version.h" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3" ZSTAR_TORCH_VERSION "${_lines}")
find_file(_torch_config TorchConfig.cmake HINTS "${ZSTAR_LIBTORCH}" PATH_SUFFIXES share/cmake/Torch NO_DEFAULT_PATH NO_CACHE)
if(_torch_config)
  file(STRINGS "${_torch_config}" _abi REGEX "_GLIBCXX_USE_CXX11_ABI=0")
  if(_abi)
    message(FATAL_ERROR "LibTorch ${ZSTAR_TORCH_VERSION} in '${ZSTAR_LIBTORCH}' was built with the string ABI from before C++11 (_GLIBCXX_USE_CXX11_ABI=0), "
                        "the libraries of the system with the later one. Take the zip named cxx11-abi, or a wheel of 2.7 or later.")
  endif()
endif()
cmake_path(GET ZSTAR_TORCH_CPU PARENT_PATH ZSTAR_TORCH_LIBDIR)
set(ZSTAR_TORCH_RPATH "$<$<BOOL:${ZSTAR_LIBTORCH}>:${ZSTAR_TORCH_LIBDIR}>")  # of what is installed: the system's is found by itself
message(STATUS "LibTorch ${ZSTAR_TORCH_VERSION} in ${ZSTAR_TORCH_LIBDIR}")

add_library(zstar_torch INTERFACE)
add_library(zstar::torch ALIAS zstar_torch)
set_target_properties(zstar_torch PROPERTIES EXPORT_NAME torch)
target_include_directories(zstar_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${ZSTAR_TORCH_INCLUDE}> $<BUILD_INTERFACE:${ZSTAR_TORCH_API_INCLUDE}>)
target_link_libraries(zstar_torch INTERFACE $<BUILD_INTERFACE:${ZSTAR_TORCH_CPU}> $<BUILD_INTERFACE:${ZSTAR_C10}>)
target_compile_definitions(zstar_torch INTERFACE $<BUILD_INTERFACE:_GLIBCXX_USE_CXX11_ABI=1>)
target_compile_features(zstar_torch INTERFACE cxx_std_20)

# zstar::onednn: what zstar/nn/winograd.hpp links. Empty unless LibTorch links oneDNN 2 as a shared library: a process is to have one of it.
add_library(zstar_onednn INTERFACE)
add_library(zstar::onednn ALIAS zstar_onednn)
# Its own package for CMake asks for OpenCL, which nothing here uses.
find_library(ZSTAR_DNNL dnnl)
find_path(ZSTAR_DNNL_INCLUDE oneapi/dnnl/dnnl.hpp)
execute_process(COMMAND ${CMAKE_READELF} -d ${ZSTAR_TORCH_CPU} OUTPUT_VARIABLE _needed ERROR_QUIET)
if(ZSTAR_DNNL AND ZSTAR_DNNL_INCLUDE AND _needed MATCHES "libdnnl\\.so\\.2")
  file(REAL_PATH "${ZSTAR_DNNL}" _dnnl)
  if(_dnnl MATCHES "libdnnl\\.so\\.2")
    target_include_directories(zstar_onednn SYSTEM INTERFACE ${ZSTAR_DNNL_INCLUDE})
    target_link_libraries(zstar_onednn INTERFACE ${ZSTAR_DNNL})
    target_compile_definitions(zstar_onednn INTERFACE ZSTAR_ONEDNN)
  endif()
endif()
