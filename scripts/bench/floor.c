/* The system calls of a check, and nothing else: it does not even read the answer. With
 * -DNULL_PROGRAM, it only exits. Both show what any program costs. There is no libc. */
#ifdef __x86_64__
enum { WRITE = 1, SOCKET = 41, CONNECT = 42, SENDTO = 44, RECVFROM = 45, EXIT_GROUP = 231 };
static long call(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#else
enum { WRITE = 64, SOCKET = 198, CONNECT = 203, SENDTO = 206, RECVFROM = 207, EXIT_GROUP = 94 };
static long call(long number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
__asm__(".globl _start\n_start: mov x0, sp\n bl start\n");
#endif

__attribute__((used)) void start(long *stack) {
#ifndef NULL_PROGRAM
    static const char request[] =
        "GET /updates/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct {
        unsigned short family;
        char path[108];
    } address;
    char answer[2048];
    const char *path = (const char *)stack[2];
    long length = 0;
    address.family = 1;
    do address.path[length] = path[length];
    while (path[length] && ++length < 107);
    address.path[107] = 0;
    long fd = call(SOCKET, 1, 1, 0, 0, 0, 0);
    call(CONNECT, fd, (long)&address, sizeof address, 0, 0, 0);
    call(SENDTO, fd, (long)request, sizeof request - 1, 0, 0, 0);
    call(RECVFROM, fd, (long)answer, sizeof answer, 0, 0, 0);
    call(WRITE, 1, (long)"yes\n", 4, 0, 0, 0);
#endif
    call(EXIT_GROUP, 0, 0, 0, 0, 0, 0);
    for (;;) {}
}
