// A stand-in for NVIDIA's driver: the calls that `chreode-cuda` makes, on memory and kernels of this process. Not a GPU's timing, not
// its parallelism: launches and copies are done when the call returns. But for copies of page-locked memory of the host: what comes from the
// device is there once the stream was waited for, and what goes to it must be the same until then.
//
// Faults are asked for by the thread that is to meet them (`standin_fault`), so that tests beside each other do not disturb each other.
#include "launch.h"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>
#include <sys/mman.h>
#include <unistd.h>

// With AddressSanitizer nobody may touch what an allocation does not hold of its pages either.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(from, bytes)
#define __asan_unpoison_memory_region(from, bytes)
#endif

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    DEVICE_UNAVAILABLE = 46,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
};

// Numbers that `chreode-cuda-cpu/src/lib.rs` knows too.
enum Fault { NONE = 0, MEMORY = 1, LAUNCH = 2, SYMBOL = 3, LOST = 4, OLD_DEVICE = 5, EMPTY = 6 };

struct Control {
    int fault = NONE;
    // Calls that the fault spares.
    int spared = 0;
    bool reversed = false;
    // Errors of kernels stay, as the driver's do.
    int sticky = SUCCESS;
    long long launches = 0;
    // From the device, to it.
    long long copies[2] = {};
    // Page-locked memory of the host that this thread took and did not give back, in bytes.
    long long locked = 0;
};

Control &control() {
    static thread_local Control control;
    return control;
}

// Whether the fault strikes this call.
bool strikes(int fault) {
    Control &c = control();
    if (c.fault != fault) return false;
    if (c.spared > 0) {
        --c.spared;
        return false;
    }
    return true;
}

int state() {
    if (strikes(LOST)) control().sticky = DEVICE_UNAVAILABLE;
    return control().sticky;
}

struct Memory {
    char *base;
    std::size_t mapped, bytes;
};
std::mutex memory_lock;
std::map<std::uint64_t, Memory> memory;
std::size_t used = 0;

constexpr std::size_t TOTAL = std::size_t(4) << 30;
constexpr int SHARED_LIMIT = 227 << 10;

// Whether these bytes lie in one allocation.
bool inside(std::uint64_t at, std::size_t bytes) {
    if (bytes == 0) return true;
    std::lock_guard<std::mutex> guard(memory_lock);
    auto next = memory.upper_bound(at);
    if (next == memory.begin()) return false;
    --next;
    return at - next->first + bytes <= next->second.bytes;
}

// Page-locked memory of the host: where it begins, and its size.
std::map<const char *, std::size_t> locked;

bool is_locked(const void *at) {
    std::lock_guard<std::mutex> guard(memory_lock);
    const char *address = static_cast<const char *>(at);
    auto next = locked.upper_bound(address);
    return next != locked.begin() && (--next, address < next->first + next->second);
}

// Copies of page-locked memory that nobody has waited for: what goes from the device to `host`, or what went from it.
struct UnderWay {
    char *host;
    std::string bytes;
    bool to_host;
    bool touches(const char *from, std::size_t count) const { return host < from + count && from < host + bytes.size(); }
    void end() const {
        if (to_host) std::memcpy(host, bytes.data(), bytes.size());
    }
};
struct Stream {
    std::mutex lock;
    std::vector<UnderWay> under_way;

    void put(const void *host, const void *bytes, std::size_t count, bool to_host) {
        std::lock_guard<std::mutex> guard(lock);
        under_way.push_back({static_cast<char *>(const_cast<void *>(host)), std::string(static_cast<const char *>(bytes), count), to_host});
    }
    // Ends all copies; whether the host has left alone what was copied from it.
    bool wait() {
        std::lock_guard<std::mutex> guard(lock);
        bool untouched = true;
        for (const UnderWay &copy : under_way) {
            untouched = untouched && (copy.to_host || std::memcmp(copy.host, copy.bytes.data(), copy.bytes.size()) == 0);
            copy.end();
        }
        under_way.clear();
        return untouched;
    }
    // Ends those of this memory, which then goes on from there.
    void end(const char *from, std::size_t bytes) {
        std::lock_guard<std::mutex> guard(lock);
        for (const UnderWay &copy : under_way)
            if (copy.touches(from, bytes)) copy.end();
        forget(from, bytes);
    }
    // Whether there were any. The lock is held.
    bool forget(const char *from, std::size_t bytes) {
        const auto kept = std::remove_if(under_way.begin(), under_way.end(), [&](const UnderWay &copy) { return copy.touches(from, bytes); });
        const bool any = kept != under_way.end();
        under_way.erase(kept, under_way.end());
        return any;
    }
};
// Of all streams that are there.
std::set<Stream *> streams;

// Forgets the copies of this memory that are under way, and says whether there were any.
bool forget_copies(const char *from, std::size_t bytes) {
    bool any = false;
    for (Stream *stream : streams) {
        std::lock_guard<std::mutex> guard(stream->lock);
        any = stream->forget(from, bytes) || any;
    }
    return any;
}

struct Module {
    std::string text;
};
struct Function {
    const Kernel *kernel;
    int shared_limit = 48 << 10;
};

} // namespace

extern "C" {

void standin_fault(int fault, int spared) {
    Control &c = control();
    c.fault = fault;
    c.spared = spared;
    c.sticky = SUCCESS;
}
void standin_order(int reversed) { control().reversed = reversed != 0; }
long long standin_launches() { return control().launches; }
long long standin_copies(int to_device) { return control().copies[to_device != 0]; }
std::size_t standin_used() {
    std::lock_guard<std::mutex> guard(memory_lock);
    return used;
}

long long standin_locked() { return control().locked; }

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 12080, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = strikes(EMPTY) ? 0 : 1, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return ordinal == 0 ? (*device = 0, SUCCESS) : INVALID_DEVICE; }
int cuDeviceGetName(char *name, int length, int) { return std::snprintf(name, std::size_t(length), "stand-in on the processor"), SUCCESS; }
int cuDeviceTotalMem_v2(std::size_t *bytes, int) { return *bytes = TOTAL, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
    case 16: return *value = 4, SUCCESS;              // multiprocessors
    case 75: return *value = strikes(OLD_DEVICE) ? 7 : 9, SUCCESS; // compute capability
    case 76: return *value = 0, SUCCESS;
    case 97: return *value = SHARED_LIMIT, SUCCESS;   // shared memory of a block, on request
    default: return INVALID_VALUE;
    }
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &memory, state(); }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *) { return state(); }

int cuStreamCreate(void **stream, unsigned) {
    if (int bad = state()) return bad;
    Stream *made = new Stream;
    std::lock_guard<std::mutex> guard(memory_lock);
    streams.insert(made);
    return *stream = made, SUCCESS;
}
int cuStreamDestroy_v2(void *stream) {
    Stream *ended = static_cast<Stream *>(stream);
    ended->wait();
    std::lock_guard<std::mutex> guard(memory_lock);
    streams.erase(ended);
    return delete ended, SUCCESS;
}
int cuStreamSynchronize(void *stream) {
    if (int bad = state()) return bad;
    if (static_cast<Stream *>(stream)->wait()) return SUCCESS;
    std::fprintf(stderr, "stand-in driver: the host changed memory while it was copied\n");
    return control().sticky = LAUNCH_FAILED;
}

int cuMemGetInfo_v2(std::size_t *free, std::size_t *total) {
    std::lock_guard<std::mutex> guard(memory_lock);
    *total = TOTAL;
    *free = TOTAL - used;
    return state();
}
// The end lies at a page that nobody may touch, and what nobody wrote is no number.
int cuMemAlloc_v2(std::uint64_t *out, std::size_t bytes) {
    if (int bad = state()) return bad;
    if (bytes == 0) return INVALID_VALUE;
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE)), rounded = (bytes + 15) / 16 * 16;
    const std::size_t mapped = (rounded + page - 1) / page * page + page;
    std::lock_guard<std::mutex> guard(memory_lock);
    if (strikes(MEMORY) || used + mapped > TOTAL) return OUT_OF_MEMORY;
    void *base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return OUT_OF_MEMORY;
    char *start = static_cast<char *>(base) + mapped - page - rounded;
    mprotect(start + rounded, page, PROT_NONE);
    std::memset(start, 0xff, bytes);
    __asan_poison_memory_region(base, std::size_t(start - static_cast<char *>(base)));
    __asan_poison_memory_region(start + bytes, rounded - bytes);
    *out = reinterpret_cast<std::uint64_t>(start);
    memory[*out] = {static_cast<char *>(base), mapped, bytes};
    used += mapped;
    return SUCCESS;
}
int cuMemFree_v2(std::uint64_t at) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto found = memory.find(at);
    if (found == memory.end()) return INVALID_VALUE;
    __asan_unpoison_memory_region(found->second.base, found->second.mapped);
    munmap(found->second.base, found->second.mapped);
    used -= found->second.mapped;
    memory.erase(found);
    return SUCCESS;
}
// What nobody wrote is no number here either.
int cuMemHostAlloc(void **out, std::size_t bytes, unsigned) {
    if (int bad = state()) return bad;
    if (bytes == 0) return INVALID_VALUE;
    if (strikes(MEMORY)) return OUT_OF_MEMORY;
    char *memory = static_cast<char *>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
    if (!memory) return OUT_OF_MEMORY;
    std::memset(memory, 0xff, bytes);
    std::lock_guard<std::mutex> guard(memory_lock);
    locked[memory] = bytes;
    control().locked += (long long)bytes;
    return *out = memory, SUCCESS;
}
int cuMemFreeHost(void *at) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto found = locked.find(static_cast<char *>(at));
    if (found == locked.end()) return INVALID_VALUE;
    // After a failure nothing is copied any more.
    if (forget_copies(found->first, found->second) && control().sticky == SUCCESS) {
        std::fprintf(stderr, "stand-in driver: memory of the host is freed while it is copied\n");
        control().sticky = LAUNCH_FAILED;
    }
    control().locked -= (long long)found->second;
    locked.erase(found);
    std::free(at);
    return control().sticky;
}
int cuMemsetD8Async(std::uint64_t at, unsigned char value, std::size_t bytes, void *) {
    if (int bad = state()) return bad;
    if (!inside(at, bytes)) return ILLEGAL_ADDRESS;
    return std::memset(reinterpret_cast<void *>(at), value, bytes), SUCCESS;
}
int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void *from, std::size_t bytes, void *stream) {
    if (int bad = state()) return bad;
    if (!inside(to, bytes)) return ILLEGAL_ADDRESS;
    ++control().copies[1];
    if (is_locked(from)) {
        // What came there on this stream before goes on.
        static_cast<Stream *>(stream)->end(static_cast<const char *>(from), bytes);
        static_cast<Stream *>(stream)->put(from, from, bytes, false);
    }
    return std::memcpy(reinterpret_cast<void *>(to), from, bytes), SUCCESS;
}
int cuMemcpyDtoHAsync_v2(void *to, std::uint64_t from, std::size_t bytes, void *stream) {
    if (int bad = state()) return bad;
    if (!inside(from, bytes)) return ILLEGAL_ADDRESS;
    ++control().copies[0];
    if (is_locked(to)) return static_cast<Stream *>(stream)->put(to, reinterpret_cast<const void *>(from), bytes, true), SUCCESS;
    return std::memcpy(to, reinterpret_cast<const void *>(from), bytes), SUCCESS;
}
int cuMemcpyDtoDAsync_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes, void *) {
    if (int bad = state()) return bad;
    if (!inside(from, bytes) || !inside(to, bytes)) return ILLEGAL_ADDRESS;
    return std::memcpy(reinterpret_cast<void *>(to), reinterpret_cast<const void *>(from), bytes), SUCCESS;
}

// A module is its PTX, of which the names of its entries are read.
int cuModuleLoadData(void **module, const void *image) {
    if (int bad = state()) return bad;
    const char *text = static_cast<const char *>(image);
    if (!std::strstr(text, ".version")) return INVALID_IMAGE;
    return *module = new Module{text}, SUCCESS;
}
int cuModuleUnload(void *module) { return delete static_cast<Module *>(module), SUCCESS; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
    if (int bad = state()) return bad;
    const auto found = standin_kernels().find(name);
    const std::string entry = std::string(".entry ") + name + "(";
    const bool listed = static_cast<Module *>(module)->text.find(entry) != std::string::npos;
    if (strikes(SYMBOL) || !listed || found == standin_kernels().end()) return NOT_FOUND;
    // As long as the process: the driver's functions need no end either.
    return *function = new Function{&found->second}, SUCCESS;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
    if (attribute != 8) return INVALID_VALUE; // dynamic shared memory
    if (value > SHARED_LIMIT) return INVALID_VALUE;
    return static_cast<Function *>(function)->shared_limit = value, state();
}
#ifndef STANDIN_WITHOUT_LAUNCH
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *, void **arguments,
                   void **extra) {
    if (int bad = state()) return bad;
    Control &c = control();
    const Function *f = static_cast<Function *>(function);
    const bool fits = gx > 0 && gy > 0 && gz == 1 && gy <= 65535 && bx > 0 && bx <= 1024 && bx % 32 == 0 && by == 1 && bz == 1;
    if (!fits || extra || shared > unsigned(f->shared_limit)) return INVALID_VALUE;
    if (strikes(LAUNCH)) return c.sticky = LAUNCH_FAILED;
    ++c.launches;
    const unsigned grid[3] = {gx, gy, gz};
    if (const char *problem = standin_run(*f->kernel, arguments, grid, bx, shared, c.reversed)) {
        std::fprintf(stderr, "stand-in driver: %s\n", problem);
        return c.sticky = LAUNCH_FAILED;
    }
    return SUCCESS;
}
#endif

// What the driver says to a host that changes (or frees) memory before what goes from it was waited for: the safe wrappers cannot do it.
int standin_hasty(int frees) {
    void *stream = nullptr, *host = nullptr;
    std::uint64_t there = 0;
    if (cuStreamCreate(&stream, 1) || cuMemHostAlloc(&host, 8, 0) || cuMemAlloc_v2(&there, 8)) return -1;
    std::memset(host, 1, 8);
    int said = cuMemcpyHtoDAsync_v2(there, host, 8, stream);
    if (said) return -1;
    if (frees)
        said = cuMemFreeHost(host);
    else {
        std::memset(host, 2, 8);
        said = cuStreamSynchronize(stream);
    }
    control().sticky = SUCCESS;
    if (!frees) cuMemFreeHost(host);
    cuMemFree_v2(there);
    cuStreamDestroy_v2(stream);
    return said;
}

} // extern "C"
