# Debian's cross compiler for arm64 (g++-aarch64-linux-gnu) with the headers of this machine's libraries, which are the
# same for every architecture but for OpenSSL's configuration, alike on both.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Behind the cross compiler's own C library.
set(QUIETCORE_HEADERS "-idirafter /usr/include -idirafter /usr/include/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu")
set(CMAKE_C_FLAGS_INIT "${QUIETCORE_HEADERS}")
set(CMAKE_CXX_FLAGS_INIT "${QUIETCORE_HEADERS}")
set(QUIETCORE_HEADERS_ONLY ON)
