/* Included before a package's own code, so that the package leaves memory when it is freed.
 *
 * Its runtime keeps the last error in a thread_local string, whose destructor glibc registers for the calling thread;
 * until that thread ends, no dlclose unmaps the library. Here none is registered: a thread that had an error of more
 * than a few letters leaves that text behind.
 */
#ifdef __cplusplus
extern "C" __attribute__((weak, visibility("hidden"))) int __cxa_thread_atexit(void (*)(void *), void *, void *) {
  return 0;
}
#endif
