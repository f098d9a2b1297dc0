//! Chapter 7: measured concentrations.
//!
//! # A model in SBML
//! [`Model`](crate::kinetics::Model) reads SBML of levels 1 to 3. Its formulas are recorded once, by a
//! [`Simulator`](crate::kinetics::Simulator), and run as often as one likes.
//! ```
//! use chreode::kinetics::{Model, Simulator, Tolerances};
//!
//! let text = r#"<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="binding">
//!   <listOfCompartments><compartment id="cell" size="1"/></listOfCompartments>
//!   <listOfSpecies>
//!     <species id="A" compartment="cell" initialConcentration="2"/>
//!     <species id="B" compartment="cell" initialConcentration="0"/>
//!   </listOfSpecies>
//!   <listOfParameters><parameter id="k" value="0.5"/></listOfParameters>
//!   <listOfReactions><reaction id="decay">
//!     <listOfReactants><speciesReference species="A"/></listOfReactants>
//!     <listOfProducts><speciesReference species="B"/></listOfProducts>
//!     <kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML">
//!       <apply><times/><ci>cell</ci><ci>k</ci><ci>A</ci></apply>
//!     </math></kineticLaw>
//!   </reaction></listOfReactions></model></sbml>"#;
//! let model = Model::from_sbml(text)?;
//! let run = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 1.0, 2.0], false)?;
//! assert_eq!(run.ids, ["A", "B", "cell", "k", "decay"]);
//! assert!((run.column("A").unwrap()[2] - 2.0 * (-1.0_f64).exp()).abs() < 1e-7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! From the shell: `chreode kinetics model.xml --until 10 --points 51 -o out.csv`.
//!
//! # Measurements in PEtab
//! A [`Problem`](crate::kinetics::Problem) is a model with what was measured, of what, and under which conditions. Every file is
//! checked when it is opened, and an error names file, row and column.
//! ```no_run
//! use chreode::kinetics::{Problem, Tolerances};
//!
//! let mut problem = Problem::open("problem.yaml".as_ref(), Tolerances::default())?;
//! let nominal = problem.nominal();
//! let simulation = problem.simulate(&nominal)?;
//! println!("ln L = {}", problem.likelihood(&simulation).log_likelihood);
//! # Ok::<(), chreode::kinetics::KineticsError>(())
//! ```
//! From the shell: `chreode kinetics problem.yaml --simulate -o sim.tsv`, which writes one row for each measurement and prints the
//! log-likelihood.
//!
//! # Fits
//! An [`Objective`](crate::kinetics::Objective) is the negative log-likelihood, with the problem's priors, as a function of what is to be
//! estimated, on the parameters' scales. It has exact derivatives, and [`fit`](crate::kinetics::fit()) and
//! [`profile`](crate::kinetics::profile()) use them.
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use chreode::kinetics::{FitOptions, Objective, Problem, ProfileOptions, Tolerances, fit, profile};
//!
//! let tolerances = Tolerances { rtol: 1e-7, atol: 1e-11 };
//! let objective = Objective::new(Problem::open("problem.yaml".as_ref(), tolerances)?)?;
//! let stop = AtomicBool::new(false); // who sets it gets what was found until then
//! let fits = fit(&objective, &FitOptions::default(), &stop, &|done, best| println!("{done}: {best}"));
//! if let Some(best) = fits.best() {
//!     let profiles = profile(&objective, &best.minimum.x, &[0, 1], &ProfileOptions::default(), &stop, &|| {});
//!     println!("{:?}", profiles[0].ends); // of the 95 % interval of the first parameter
//! }
//! # Ok::<(), chreode::kinetics::KineticsError>(())
//! ```
//! From the shell: `chreode kinetics problem.yaml --starts 20 --profiles all -o fit/`. The folder holds the parameter table with the best
//! values, all fits, simulations, residuals, profiles, and `report.html`: whether the best minimum was found more than once, how the curves
//! lie in the data, which parameters are at a bound or not determined.
//!
//! # A law that nobody knows
//! A net can take the place of a rate, or correct it. Its weights are parameters of the problem; what the reactions change, and so what they
//! conserve, stays the file's.
//! ```no_run
//! use chreode::kinetics::{HybridConfig, HybridRequest, NetOptions, Objective, Problem, Tolerances};
//!
//! let (path, tolerances) = ("problem.yaml".as_ref(), Tolerances { rtol: 1e-7, atol: 1e-11 });
//! let request = HybridRequest::Rates(vec!["v2:replace:A,B".parse()?]);
//! let options = NetOptions::default();
//! let nets = HybridConfig::resolve(&Problem::open(path, tolerances)?, &request, &options)?;
//! let mut problem = Problem::open_hybrid(path, tolerances, &nets, &options)?;
//! problem.fix_idle(); // parameters of the law that is gone
//! let (fitted, held_out) = problem.split(|m| m.time > 60.0);
//! let objective = Objective::new(fitted)?; // and on as with any other
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! From the shell: `chreode kinetics problem.yaml --hybrid v2:replace:A,B --hold-out after=60 -o fit/`, and later `--simulate --net
//! fit/hybrid.safetensors`. Look at the report for where the net was asked beyond what was measured: nothing holds it there.
//!
//! What is read of both formats, and what is refused by name, is said in `docs/METHODS.md`, section 9.
