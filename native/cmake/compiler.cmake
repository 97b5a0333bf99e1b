# Flags of every target, as one interface library.
add_library(quietcore_options INTERFACE)

target_compile_options(quietcore_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(QUIETCORE_WERROR)
  target_compile_options(quietcore_options INTERFACE -Werror)
  # Optimising at link time finds more.
  target_link_options(quietcore_options INTERFACE -Werror)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  target_compile_options(quietcore_options INTERFACE -march=${QUIETCORE_MARCH})
endif()

if(QUIETCORE_SANITIZE)
  target_compile_options(quietcore_options INTERFACE
    -fsanitize=${QUIETCORE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(quietcore_options INTERFACE -fsanitize=${QUIETCORE_SANITIZE})
endif()

if(QUIETCORE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # The ring's readers and writer use stand-alone fences, which ThreadSanitizer does not model; every word they
  # order is an atomic of its own, so nothing is hidden by accepting them.
  target_compile_options(quietcore_options INTERFACE -Wno-tsan)
endif()

if(QUIETCORE_COVERAGE)
  target_compile_options(quietcore_options INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(quietcore_options INTERFACE --coverage)
endif()

if(QUIETCORE_PGO)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    message(FATAL_ERROR "QUIETCORE_PGO needs GCC; this is ${CMAKE_CXX_COMPILER_ID}")
  endif()
  # One build folder for both, as a profile is found by the path of the object that it is of.
  set(profile "${CMAKE_BINARY_DIR}/profile")
  if(QUIETCORE_PGO STREQUAL "train")
    target_compile_options(quietcore_options INTERFACE "-fprofile-generate=${profile}" -fprofile-update=prefer-atomic)
    target_link_options(quietcore_options INTERFACE "-fprofile-generate=${profile}")
  elseif(QUIETCORE_PGO STREQUAL "use")
    # What the training never reaches is optimised as if there were no profile, not for size.
    target_compile_options(quietcore_options INTERFACE
      "-fprofile-use=${profile}" -fprofile-partial-training -Wno-missing-profile)
    target_link_options(quietcore_options INTERFACE "-fprofile-use=${profile}" -fprofile-partial-training)
  else()
    message(FATAL_ERROR "QUIETCORE_PGO is \"${QUIETCORE_PGO}\"; expected train or use")
  endif()
endif()

if(QUIETCORE_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT lto_works OUTPUT lto_output LANGUAGES CXX)
  if(NOT lto_works)
    message(FATAL_ERROR "The compiler cannot optimise at link time: ${lto_output}")
  endif()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()
