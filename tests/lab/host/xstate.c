/*
 * Lets User Mode Linux 6.1 run on processors with more registers than it knows of (AMX).
 *
 * It keeps 2,696 bytes of a process's extended state and sets them with PTRACE_SETREGSET. The host's
 * kernel takes the whole of the state and nothing else (xstateregs_set() in arch/x86/kernel/fpu/regset.c:
 * EFAULT), and with AMX that is 11,008 bytes: "ptrace set fp regs failed, errno = 14", and the first
 * process of the node dies. What is missing are registers that no process of a node ever uses, since
 * it would have to ask for them first (arch_prctl(2), ARCH_REQ_XCOMP_PERM): zeros, and the header says
 * so already.
 *
 * Preloaded into the kernel of a node; where the host takes what it is given, nothing is different.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define SETREGSET 0x4205
#define GETREGSET 0x4204

typedef long (*ptrace_t)(long request, long pid, void *address, void *data);

/* Not on the stack: a thread of the node's kernel has 16 KiB. One processor, and no preemption. */
static char whole[64 * 1024] __attribute__((aligned(64)));

static ptrace_t next(void)
{
	static ptrace_t real;
	if (!real)
		real = (ptrace_t)dlsym(RTLD_NEXT, "ptrace");
	return real;
}

long ptrace(long request, long pid, void *address, void *data)
{
	/* Once known, so that each switch of a process costs one call and not two. */
	static size_t size;
	struct iovec *given = data, all = { whole, sizeof(whole) };

	if (request != SETREGSET || (long)address != NT_X86_XSTATE)
		return next()(request, pid, address, data);
	if (!size || size == given->iov_len) {
		long done = next()(request, pid, address, data);
		if (!done || errno != EFAULT)
			return done;
		/* The host says how much it has. */
		if (next()(GETREGSET, pid, address, &all))
			return -1;
		if (all.iov_len <= given->iov_len || all.iov_len == sizeof(whole)) {
			errno = EFAULT;
			return -1;
		}
		size = all.iov_len;
	}
	memcpy(whole, given->iov_base, given->iov_len);
	memset(whole + given->iov_len, 0, size - given->iov_len);
	all.iov_len = size;
	return next()(request, pid, address, &all);
}
