//! What the tests of every crate share: problems with known answers ([`corpus`], [`nonstiff`], [`stiff_corpus`]), order
//! estimation, gradient
//! checks, an allocation counter.

mod alloc;
mod gradcheck;
mod order;
mod problems;

pub use alloc::{CountingAllocator, allocations_in};
pub use gradcheck::{
    GradientMismatch, central_difference, central_difference_by, check_diffusion_jvp,
    check_diffusion_jvp_vjp, check_diffusion_vjp, check_gradient, check_growth_vjp, check_jacobian,
    check_jvp, check_second, check_vjp, compare,
};
pub use order::observed_order;
pub use problems::arenstorf::Arenstorf;
pub use problems::brusselator::Brusselator;
pub use problems::brusselator_line::BrusselatorLine;
pub use problems::brusselator_square::{BrusselatorSquare, stiff_squares};
pub use problems::duffing::Duffing;
pub use problems::lorenz::Lorenz;
pub use problems::lotka_volterra::LotkaVolterra;
pub use problems::mixed_sinh_sde::MixedSinhSde;
pub use problems::models::Toggle;
pub use problems::pleiades::Pleiades;
pub use problems::rational::Rational;
pub use problems::ring_sde::RingSde;
pub use problems::sinh_sde::SinhSde;
pub use problems::smooth::{Case, Differentiable, Smooth, SmoothField};
pub use problems::spin_sde::SpinSde;
pub use problems::stiff::e5::E5;
pub use problems::stiff::hires::Hires;
pub use problems::stiff::orego::Orego;
pub use problems::stiff::pollu::Pollu;
pub use problems::stiff::ring_modulator::RingModulator;
pub use problems::stiff::robertson::Robertson;
pub use problems::stiff::scaffold::Scaffold;
pub use problems::stiff::van_der_pol::VanDerPol;
pub use problems::stiff::{Curved, Stiff, StiffCase, StiffField, StiffModel, stiff_corpus};
pub use problems::well_sde::WellSde;
pub use problems::{corpus, nonstiff};
