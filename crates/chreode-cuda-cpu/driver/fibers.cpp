// Threads of a block as fibers: each has a stack, runs until a barrier or a shuffle, and goes on when the others have arrived, those of its warp at a shuffle.
#include "launch.h"
#include "shim.h"
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <sys/mman.h>
#include <vector>

// With AddressSanitizer it is told which stack runs, and what of the memory belongs to nobody; frames then take more room.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SANITIZED(call) call
#else
#define SANITIZED(call)
#endif

std::map<std::string, Kernel> &standin_kernels() {
    static std::map<std::string, Kernel> kernels;
    return kernels;
}

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t STACK = 512 << 10;
#else
constexpr std::size_t STACK = 64 << 10;
#endif
constexpr unsigned MOST_THREADS = 1024;
constexpr unsigned WARP = 32;

enum State { READY, AT_BARRIER, AT_SHUFFLE, DONE };

#if defined(__x86_64__)
extern "C" void standin_switch(void **from, void *to);
asm(".text\n"
    ".hidden standin_switch\n"
    ".globl standin_switch\n"
    "standin_switch:\n"
    "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
    "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
    "ret\n");
struct Context {
    void *stack_pointer;
    void prepare(char *stack, void (*entry)()) {
        void **top = reinterpret_cast<void **>(stack + STACK);
        *--top = nullptr; // where the entry would return to
        *--top = reinterpret_cast<void *>(entry);
        for (int i = 0; i < 6; ++i) *--top = nullptr;
        stack_pointer = top;
    }
    static void change(Context &from, Context &to) { standin_switch(&from.stack_pointer, to.stack_pointer); }
};
#else
#include <ucontext.h>
struct Context {
    ucontext_t context;
    void prepare(char *stack, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = stack;
        context.uc_stack.ss_size = STACK;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }
    static void change(Context &from, Context &to) { swapcontext(&from.context, &to.context); }
};
#endif

struct Fiber {
    Context context;
    State state;
    // What the fiber offers its warp and from which lane it takes; then what it took, and who of the warp offered something but zero.
    unsigned offered, taken, voted;
    int from;
    // What AddressSanitizer keeps of a stack that waits.
    void *kept;
};

struct Block {
    char *stacks = nullptr;
    std::vector<Fiber> fibers = std::vector<Fiber>(MOST_THREADS);
    Context scheduler;
    Place place;
    const Kernel *kernel;
    void **arguments;
    std::vector<float> shared;
    // Of the scheduler, for AddressSanitizer: what it keeps, and where the stack is.
    void *kept = nullptr;
    const void *bottom = nullptr;
    std::size_t depth = 0;

    ~Block() {
        if (stacks) munmap(stacks, STACK * MOST_THREADS);
    }
    Fiber &running() { return fibers[place.thread]; }
    void leave(State state) {
        Fiber &fiber = running();
        fiber.state = state;
        SANITIZED(__sanitizer_start_switch_fiber(state == DONE ? nullptr : &fiber.kept, bottom, depth));
        Context::change(fiber.context, scheduler);
        SANITIZED(__sanitizer_finish_switch_fiber(fiber.kept, &bottom, &depth));
    }
    void run(unsigned thread) {
        SANITIZED(__sanitizer_start_switch_fiber(&kept, stacks + STACK * thread, STACK));
        Context::change(scheduler, fibers[thread].context);
        SANITIZED(__sanitizer_finish_switch_fiber(kept, nullptr, nullptr));
    }
};

// A function's, so that it is made when a thread launches its first kernel.
Block &block() {
    static thread_local Block block;
    return block;
}

void enter() {
    Block &b = block();
    SANITIZED(__sanitizer_finish_switch_fiber(nullptr, &b.bottom, &b.depth));
    b.kernel->call(b.kernel->function, b.arguments);
    b.leave(DONE);
}

// Exchanges what the threads of a warp offer each other, if all of them do; whether they did.
bool exchange_within(Block &b, unsigned first) {
    unsigned voted = 0;
    for (unsigned i = 0; i < WARP; ++i) {
        if (b.fibers[first + i].state != AT_SHUFFLE) return false;
        voted |= (b.fibers[first + i].offered != 0 ? 1u : 0u) << i;
    }
    for (unsigned i = first; i < first + WARP; ++i) {
        b.fibers[i].taken = b.fibers[first + (b.fibers[i].from & (WARP - 1))].offered;
        b.fibers[i].voted = voted;
        b.fibers[i].state = READY;
    }
    return true;
}

// Lets all go on who wait at a barrier; says why not if not all do.
const char *release(Block &b, unsigned threads) {
    unsigned count[4] = {};
    for (unsigned i = 0; i < threads; ++i) ++count[b.fibers[i].state];
    if (count[AT_BARRIER] != threads) return count[DONE] ? "some threads ended and others wait for them" : "some threads wait at a barrier and others for their warp";
    for (unsigned i = 0; i < threads; ++i) b.fibers[i].state = READY;
    return nullptr;
}

} // namespace

extern "C" Place *standin_place() { return &block().place; }
extern "C" void standin_barrier() { block().leave(AT_BARRIER); }
static const Fiber &exchange(unsigned v, int from) {
    Block &b = block();
    Fiber &fiber = b.running();
    fiber.offered = v;
    fiber.from = from;
    b.leave(AT_SHUFFLE);
    return fiber;
}
extern "C" unsigned standin_shuffle(unsigned v, int from) { return exchange(v, from).taken; }
extern "C" unsigned standin_ballot(bool v) { return exchange(v, 0).voted; }

const char *standin_run(const Kernel &kernel, void **arguments, const unsigned grid[3], unsigned threads, unsigned shared_bytes, bool reversed) {
    Block &b = block();
    if (!b.stacks) {
        void *stacks = mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) return "no memory for stacks";
        b.stacks = static_cast<char *>(stacks);
    }
    const std::size_t words = (shared_bytes + 3) / 4, guard = 64;
    b.kernel = &kernel;
    b.arguments = arguments;
    const unsigned total = grid[0] * grid[1];
    for (unsigned n = 0; n < total; ++n) {
        const unsigned at = reversed ? total - 1 - n : n;
        // What nobody wrote is no number, and nobody may write behind the end.
        b.shared.assign(words + guard + 4, NAN);
        float *shared = b.shared.data();
        while (reinterpret_cast<std::uintptr_t>(shared) % 16) ++shared;
        std::memset(shared, 0xff, 4 * (words + guard));
        SANITIZED(__asan_poison_memory_region(shared + words, 4 * guard));
        b.place = {0, int(at % grid[0]), int(at / grid[0]), int(grid[0]), shared};
        for (unsigned i = 0; i < threads; ++i) {
            b.fibers[i].state = READY;
            SANITIZED(__asan_unpoison_memory_region(b.stacks + STACK * i, STACK)); // what a launch that failed left
            b.fibers[i].context.prepare(b.stacks + STACK * i, enter);
        }
        for (unsigned done = 0;;) {
            // A warp as far as it goes without the others: what its threads exchange is no barrier for those.
            for (unsigned w = 0; w < threads / WARP; ++w) {
                const unsigned first = (reversed ? threads / WARP - 1 - w : w) * WARP;
                do
                    for (unsigned k = 0; k < WARP; ++k) {
                        const unsigned i = first + (reversed ? WARP - 1 - k : k);
                        if (b.fibers[i].state != READY) continue;
                        b.place.thread = int(i);
                        b.run(i);
                        if (b.fibers[i].state == DONE) ++done;
                    }
                while (exchange_within(b, first));
            }
            if (done == threads) break;
            if (const char *problem = release(b, threads)) {
                SANITIZED(__asan_unpoison_memory_region(shared + words, 4 * guard));
                return problem;
            }
        }
        SANITIZED(__asan_unpoison_memory_region(shared + words, 4 * guard));
        for (std::size_t i = words; i < words + guard; ++i)
            if (float_to_bits(shared[i]) != 0xffffffffu) return "a write behind the shared memory";
    }
    return nullptr;
}
