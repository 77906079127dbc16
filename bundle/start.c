/* start.c - what a C compiler's crtbegin.o and libc_nonshared.a give a shared object, for those that lld links without one:
 * handlers of fork() belong to the object and go with it. */

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);
void __cxa_finalize(void *object);
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

__attribute__((visibility("hidden"))) void *__dso_handle = &__dso_handle;

__attribute__((visibility("hidden"))) int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	return __register_atfork(prepare, parent, child, __dso_handle);
}

__attribute__((destructor)) static void finish(void)
{
	__cxa_finalize(__dso_handle);
}
