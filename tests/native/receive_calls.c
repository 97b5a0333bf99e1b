/* Preloaded into a feed handler: counts its receive calls in a file of one number. With RECEIVE_CALLS_TWICE each of
 * them looks first and receives then, as a careless change would. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

static volatile uint64_t *calls;
static int twice;

__attribute__((constructor)) static void map_count(void) {
  const int fd = open(getenv("RECEIVE_CALLS_FILE"), O_RDWR);
  calls = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  twice = getenv("RECEIVE_CALLS_TWICE") != NULL;
}

static void count(void) { __atomic_fetch_add(calls, 1, __ATOMIC_SEQ_CST); }

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  static ssize_t (*real)(int, struct msghdr *, int);
  if (!real)
    real = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
  if (twice) {
    char byte;
    recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  }
  count();
  return real(fd, message, flags);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  static ssize_t (*real)(int, void *, size_t, int);
  if (!real)
    real = (ssize_t(*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
  count();
  return real(fd, bytes, size, flags);
}
