# In place of dependencies.cmake where there is nothing to link with: the headers of this machine's libraries, which a
# toolchain file makes known. Objects and static libraries can be made of them, executables cannot.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

set(headers simdjson.h zlib.h zstd.h openssl/ssl.h boost/beast/version.hpp toml++/toml.h)
set(packages libsimdjson-dev zlib1g-dev libzstd-dev libssl-dev libboost-dev libtomlplusplus-dev)
foreach(header package IN ZIP_LISTS headers packages)
  if(NOT EXISTS /usr/include/${header})
    message(FATAL_ERROR "/usr/include/${header} not found. On Debian and Ubuntu: apt-get install ${package}")
  endif()
endforeach()

foreach(library simdjson::simdjson ZLIB::ZLIB OpenSSL::SSL)
  add_library(${library} INTERFACE IMPORTED)
endforeach()
set(QUIETCORE_ZSTD_LIBRARY "")
