# All from the distribution; each missing one is named with its Debian package.
function(quietcore_missing what package)
  message(FATAL_ERROR "${what} not found. On Debian and Ubuntu: apt-get install ${package}")
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

find_package(simdjson QUIET)
if(NOT TARGET simdjson::simdjson)
  quietcore_missing("simdjson" libsimdjson-dev)
endif()

find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
  quietcore_missing("zlib" zlib1g-dev)
endif()

find_path(QUIETCORE_ZSTD_INCLUDE zstd.h)
find_library(QUIETCORE_ZSTD_LIBRARY zstd)
if(NOT QUIETCORE_ZSTD_INCLUDE OR NOT QUIETCORE_ZSTD_LIBRARY)
  quietcore_missing("zstd" libzstd-dev)
endif()
mark_as_advanced(QUIETCORE_ZSTD_INCLUDE QUIETCORE_ZSTD_LIBRARY)

find_package(OpenSSL QUIET)
if(NOT OPENSSL_FOUND)
  quietcore_missing("OpenSSL" libssl-dev)
endif()

# Header-only use: no component, so that neither FindBoost nor a Boost library is needed.
find_path(QUIETCORE_BOOST_INCLUDE boost/beast/version.hpp)
if(NOT QUIETCORE_BOOST_INCLUDE)
  quietcore_missing("Boost (Asio and Beast headers)" libboost-dev)
endif()
mark_as_advanced(QUIETCORE_BOOST_INCLUDE)

find_path(QUIETCORE_TOML_INCLUDE toml++/toml.h)
if(NOT QUIETCORE_TOML_INCLUDE)
  quietcore_missing("toml++" libtomlplusplus-dev)
endif()
mark_as_advanced(QUIETCORE_TOML_INCLUDE)

if(QUIETCORE_TESTS)
  find_package(GTest QUIET)
  if(NOT TARGET GTest::gtest)
    quietcore_missing("GoogleTest" libgtest-dev)
  endif()
endif()
