/* Starts main on a Cortex-M without an operating system, and hands what it returns to the emulator. */
extern char stack_end[];
int main(void);
void reset(void);

void reset(void)
{
    unsigned int words[2] = {0x20026u, 0u};
#ifdef __ARM_FP
    *(volatile unsigned int *)0xE000ED88u |= 0xFu << 20; /* the floating-point unit is on */
#endif
    words[1] = (unsigned int)main();
    {
        register unsigned int call __asm__("r0") = 0x20u; /* SYS_EXIT_EXTENDED */
        register unsigned int *with __asm__("r1") = words;
        __asm__ volatile("bkpt 0xab" : : "r"(call), "r"(with) : "memory");
    }
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void *const vectors[2] = {stack_end, (void *)reset};
