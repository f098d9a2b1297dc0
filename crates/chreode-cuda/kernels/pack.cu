// Weights in the order in which products read them.
#include "net.cuh"

// Packs the weights of a net, in the order in which products read them.
KERNEL pack_net(const Net *net, int precision, int transposed, const float *p, float *packed) { pack(net, precision, transposed, p, packed); }

// Packs the weights of all nets, one behind the other, in the order in which products read them.
KERNEL pack_sde(const Sde *sde, int precision, int transposed, const float *p, float *packed) {
    for (int which = DRIFT; which <= GROWTH; ++which) pack(net_of(sde, which), precision, transposed, p, packed + packed_of(sde, which));
}
