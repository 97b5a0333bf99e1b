#pragma once

#include "quietcore/clock.hpp"

#include <pthread.h>
#include <sched.h>
#include <stdexcept>
#include <thread>
#include <utility>

namespace quietcore::bench {

/// Runs one function here and another in a thread of its own, each on a CPU of its own; returns when both
/// have ended. Throws where there are not two CPUs: then it is not measurable here.
template <typename Here, typename There> void on_two_cpus(Here &&here, There &&there) {
  if (std::thread::hardware_concurrency() < 2)
    throw std::runtime_error("a figure of two threads needs two CPUs: not measurable here");
  const auto pin = [](int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  };
  cpu_set_t before;
  CPU_ZERO(&before);
  (void)pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
  const int last = static_cast<int>(std::thread::hardware_concurrency()) - 1;
  std::thread other([&] {
    pin(last - 1);
    there();
  });
  pin(last);
  here();
  other.join();
  (void)pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}

/// Spins until the condition holds.
template <typename Condition> void spin_until(Condition &&condition) {
  while (!condition())
    cpu_pause();
}

} // namespace quietcore::bench
