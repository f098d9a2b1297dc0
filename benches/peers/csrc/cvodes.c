/* Runs of CVODES (SUNDIALS 6) with sensitivities as AMICI has them [FWH+21]: BDF and Newton's method with KLU or dense matrices, forward
   sensitivities of J s + df/dp q with error control, or the adjoint with Hermite interpolation and a quadrature for each parameter. The
   model is compiled C. */
#include <cvodes/cvodes.h>
#include <dlfcn.h>
#include <nvector/nvector_serial.h>
#include <stdlib.h>
#include <string.h>
#include <sundials/sundials_context.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunlinsol/sunlinsol_klu.h>
#include <sunmatrix/sunmatrix_dense.h>
#include <sunmatrix/sunmatrix_sparse.h>

typedef void (*model_fn)(double t, const double *y, const double *p, double *out);

/* `starts`, `rows`: [df/dy | df/dp] column by column, of which df/dy are the first n columns with `entries` entries. `moved`: in direction
   j the parameters moved_at[moved_starts[j]..moved_starts[j + 1]] move by that. */
struct task {
  model_fn field, jacobian, derivatives;
  long n, np, m, n_times, entries, all;
  const long *starts, *rows;
  int sparse;
  double rtol, atol, t0;
  double from, to; /* the model is evaluated at no time outside: there it may jump */
  const double *y0, *p, *s0, *times;
  const long *moved_starts, *moved_at;
  const double *moved;
  double *values; /* scratch, [all] */
};

/* `counts`: steps, evaluations, Jacobians. */
enum sensitivities { NONE = 0, STAGGERED = 1, SIMULTANEOUS = 2, FOR_ADJOINT = 3 };

struct run {
  const struct task *task;
  SUNContext context;
  N_Vector state, *s;
  void *memory;
  SUNMatrix matrix;
  SUNLinearSolver linear;
};

model_fn peers_model(void *library, const char *name) {
  model_fn f;
  *(void **)&f = dlsym(library, name);
  return f;
}

void *peers_open(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }

static double inside(const struct task *k, double t) { return t < k->from ? k->from : t > k->to ? k->to : t; }

static int rhs(realtype t, N_Vector y, N_Vector f, void *user) {
  const struct task *k = user;
  k->field(inside(k, t), N_VGetArrayPointer(y), k->p, N_VGetArrayPointer(f));
  return 0;
}

static void dense(const struct task *k, const double *values, SUNMatrix j, int backward) {
  SUNMatZero(j);
  for (long c = 0; c < k->n; ++c)
    for (long e = k->starts[c]; e < k->starts[c + 1]; ++e) {
      if (backward) SM_ELEMENT_D(j, c, k->rows[e]) = -values[e];
      else SM_ELEMENT_D(j, k->rows[e], c) = values[e];
    }
}

static int jacobian(realtype t, N_Vector y, N_Vector f, SUNMatrix j, void *user, N_Vector a, N_Vector b, N_Vector c) {
  const struct task *k = user;
  (void)f; (void)a; (void)b; (void)c;
  double *values = k->sparse ? SUNSparseMatrix_Data(j) : k->values;
  k->jacobian(inside(k, t), N_VGetArrayPointer(y), k->p, values);
  if (k->sparse) {
    memcpy(SUNSparseMatrix_IndexPointers(j), k->starts, (k->n + 1) * sizeof(long));
    memcpy(SUNSparseMatrix_IndexValues(j), k->rows, k->entries * sizeof(long));
  } else {
    dense(k, values, j, 0);
  }
  return 0;
}

/* One evaluation of the derivatives serves all directions. */
static int sensitive_rhs(int m, realtype t, N_Vector y, N_Vector dy, N_Vector *s, N_Vector *ds, void *user, N_Vector a, N_Vector b) {
  const struct task *k = user;
  (void)dy; (void)a; (void)b;
  k->derivatives(inside(k, t), N_VGetArrayPointer(y), k->p, k->values);
  for (int j = 0; j < m; ++j) {
    const double *v = N_VGetArrayPointer(s[j]);
    double *out = N_VGetArrayPointer(ds[j]);
    memset(out, 0, k->n * sizeof(double));
    for (long c = 0; c < k->n; ++c)
      for (long e = k->starts[c]; e < k->starts[c + 1]; ++e) out[k->rows[e]] += k->values[e] * v[c];
    for (long i = k->moved_starts[j]; i < k->moved_starts[j + 1]; ++i) {
      long c = k->n + k->moved_at[i];
      for (long e = k->starts[c]; e < k->starts[c + 1]; ++e) out[k->rows[e]] += k->values[e] * k->moved[i];
    }
  }
  return 0;
}

static int adjoint_rhs(realtype t, N_Vector y, N_Vector l, N_Vector dl, void *user) {
  const struct task *k = user;
  const double *v = N_VGetArrayPointer(l);
  double *out = N_VGetArrayPointer(dl);
  k->jacobian(inside(k, t), N_VGetArrayPointer(y), k->p, k->values);
  for (long c = 0; c < k->n; ++c) {
    double sum = 0.0;
    for (long e = k->starts[c]; e < k->starts[c + 1]; ++e) sum += k->values[e] * v[k->rows[e]];
    out[c] = -sum;
  }
  return 0;
}

static int adjoint_jacobian(realtype t, N_Vector y, N_Vector l, N_Vector dl, SUNMatrix j, void *user, N_Vector a, N_Vector b, N_Vector c) {
  const struct task *k = user;
  (void)l; (void)dl; (void)a; (void)b; (void)c;
  k->jacobian(inside(k, t), N_VGetArrayPointer(y), k->p, k->values);
  if (!k->sparse) {
    dense(k, k->values, j, 1);
    return 0;
  }
  /* The transpose, by counting. */
  sunindextype *starts = SUNSparseMatrix_IndexPointers(j), *rows = SUNSparseMatrix_IndexValues(j);
  double *values = SUNSparseMatrix_Data(j);
  memset(starts, 0, (k->n + 1) * sizeof(sunindextype));
  for (long e = 0; e < k->entries; ++e) ++starts[k->rows[e] + 1];
  for (long i = 0; i < k->n; ++i) starts[i + 1] += starts[i];
  for (long col = 0; col < k->n; ++col)
    for (long e = k->starts[col]; e < k->starts[col + 1]; ++e) {
      sunindextype to = starts[k->rows[e]]++;
      rows[to] = col;
      values[to] = -k->values[e];
    }
  for (long i = k->n; i > 0; --i) starts[i] = starts[i - 1];
  starts[0] = 0;
  return 0;
}

static int quadrature(realtype t, N_Vector y, N_Vector l, N_Vector dq, void *user) {
  const struct task *k = user;
  const double *v = N_VGetArrayPointer(l);
  double *out = N_VGetArrayPointer(dq);
  k->derivatives(inside(k, t), N_VGetArrayPointer(y), k->p, k->values);
  for (long j = 0; j < k->m; ++j) {
    double sum = 0.0;
    for (long i = k->moved_starts[j]; i < k->moved_starts[j + 1]; ++i) {
      long c = k->n + k->moved_at[i];
      for (long e = k->starts[c]; e < k->starts[c + 1]; ++e) sum += k->values[e] * v[k->rows[e]] * k->moved[i];
    }
    out[j] = -sum;
  }
  return 0;
}

static void quiet(int code, const char *module, const char *function, char *message, void *p) {
  (void)code; (void)module; (void)function; (void)message; (void)p;
}

static void matrices(const struct task *k, N_Vector of, SUNContext context, SUNMatrix *matrix, SUNLinearSolver *linear) {
  if (k->sparse) {
    *matrix = SUNSparseMatrix(k->n, k->n, k->entries, CSC_MAT, context);
    *linear = SUNLinSol_KLU(of, *matrix, context);
  } else {
    *matrix = SUNDenseMatrix(k->n, k->n, context);
    *linear = SUNLinSol_Dense(of, *matrix, context);
  }
}

void peers_cvodes_free(struct run *run) {
  if (!run) return;
  CVodeFree(&run->memory);
  if (run->linear) SUNLinSolFree(run->linear);
  if (run->matrix) SUNMatDestroy(run->matrix);
  if (run->s) N_VDestroyVectorArray(run->s, (int)run->task->m);
  if (run->state) N_VDestroy(run->state);
  SUNContext_Free(&run->context);
  free(run);
}

/* Sets the states `[n_times, n]` and, if asked for, sensitivities `[n_times, m, n]`; returns CVODES' flag. The run is left in `out`. */
int peers_cvodes(const struct task *k, int mode, double *states, double *sensitivities, long *counts, struct run **out) {
  struct run *run = calloc(1, sizeof *run);
  *out = run;
  if (!run) return -101;
  run->task = k;
  if (SUNContext_Create(NULL, &run->context)) return -100;
  run->state = N_VNew_Serial(k->n, run->context);
  memcpy(N_VGetArrayPointer(run->state), k->y0, k->n * sizeof(double));
  void *memory = run->memory = CVodeCreate(CV_BDF, run->context);
  int flag = CVodeInit(memory, rhs, k->t0, run->state);
  if (flag < 0) return flag;
  CVodeSetErrHandlerFn(memory, quiet, NULL);
  CVodeSStolerances(memory, k->rtol, k->atol);
  CVodeSetUserData(memory, (void *)k);
  CVodeSetMaxNumSteps(memory, 1000000);
  matrices(k, run->state, run->context, &run->matrix, &run->linear);
  CVodeSetLinearSolver(memory, run->linear, run->matrix);
  CVodeSetJacFn(memory, jacobian);
  int columns = mode == STAGGERED || mode == SIMULTANEOUS ? (int)k->m : 0;
  if (columns) {
    run->s = N_VCloneVectorArray(columns, run->state);
    for (long j = 0; j < k->m; ++j) memcpy(N_VGetArrayPointer(run->s[j]), k->s0 + j * k->n, k->n * sizeof(double));
    flag = CVodeSensInit(memory, columns, mode == STAGGERED ? CV_STAGGERED : CV_SIMULTANEOUS, sensitive_rhs, run->s);
    if (flag < 0) return flag;
    double *atol = malloc(columns * sizeof(double));
    for (long j = 0; j < k->m; ++j) atol[j] = k->atol;
    CVodeSensSStolerances(memory, k->rtol, atol);
    free(atol);
    CVodeSetSensErrCon(memory, SUNTRUE);
  }
  if (mode == FOR_ADJOINT) {
    flag = CVodeAdjInit(memory, 1000, CV_HERMITE);
    if (flag < 0) return flag;
  }
  double t = k->t0;
  int checkpoints;
  for (long i = 0; i < k->n_times; ++i) {
    if (k->times[i] > k->t0) {
      if (mode == FOR_ADJOINT) flag = CVodeF(memory, k->times[i], run->state, &t, CV_NORMAL, &checkpoints);
      else flag = CVode(memory, k->times[i], run->state, &t, CV_NORMAL);
      if (flag < 0) return flag;
      if (columns && (flag = CVodeGetSens(memory, &t, run->s)) < 0) return flag;
    }
    memcpy(states + i * k->n, N_VGetArrayPointer(run->state), k->n * sizeof(double));
    for (long j = 0; j < columns; ++j)
      memcpy(sensitivities + (i * k->m + j) * k->n, N_VGetArrayPointer(run->s[j]), k->n * sizeof(double));
  }
  long steps = 0, evaluations = 0, jacobians = 0;
  CVodeGetNumSteps(memory, &steps);
  CVodeGetNumRhsEvals(memory, &evaluations);
  CVodeGetNumJacEvals(memory, &jacobians);
  counts[0] += steps;
  counts[1] += evaluations;
  counts[2] += jacobians;
  return 0;
}

/* Goes back through a run made for the adjoint: `bars` are gradients with respect to the states at each time, `[n_times, n]`. Sets `y_bar`, with
   respect to the start, and `q_bar`, `[m]`: what parameters owe in each direction. */
int peers_cvodes_back(struct run *run, const double *bars, double *y_bar, double *q_bar) {
  const struct task *k = run->task;
  N_Vector l = N_VNew_Serial(k->n, run->context), q = N_VNew_Serial(k->m, run->context);
  SUNMatrix matrix = NULL;
  SUNLinearSolver linear = NULL;
  double *lambda = N_VGetArrayPointer(l);
  int which = -1, flag = 0;
  memset(lambda, 0, k->n * sizeof(double));
  N_VConst(0.0, q);
  for (long i = k->n_times - 1; i >= 0 && flag >= 0; --i) {
    for (long c = 0; c < k->n; ++c) lambda[c] += bars[i * k->n + c];
    double from = k->times[i], to = i > 0 ? k->times[i - 1] : k->t0, t;
    if (from <= k->t0) break;
    if (which < 0) {
      CVodeCreateB(run->memory, CV_BDF, &which);
      CVodeInitB(run->memory, which, adjoint_rhs, from, l);
      CVodeSStolerancesB(run->memory, which, k->rtol, k->atol);
      CVodeSetUserDataB(run->memory, which, (void *)k);
      CVodeSetMaxNumStepsB(run->memory, which, 1000000);
      matrices(k, l, run->context, &matrix, &linear);
      CVodeSetLinearSolverB(run->memory, which, linear, matrix);
      CVodeSetJacFnB(run->memory, which, adjoint_jacobian);
      CVodeQuadInitB(run->memory, which, quadrature, q);
      CVodeQuadSStolerancesB(run->memory, which, k->rtol, k->atol);
      CVodeSetQuadErrConB(run->memory, which, SUNTRUE);
    } else {
      CVodeReInitB(run->memory, which, from, l);
      CVodeQuadReInitB(run->memory, which, q);
    }
    if (to < from && (flag = CVodeB(run->memory, to, CV_NORMAL)) >= 0) {
      CVodeGetB(run->memory, which, &t, l);
      CVodeGetQuadB(run->memory, which, &t, q);
    }
  }
  memcpy(y_bar, lambda, k->n * sizeof(double));
  memcpy(q_bar, N_VGetArrayPointer(q), k->m * sizeof(double));
  CVodeFree(&run->memory);
  if (linear) SUNLinSolFree(linear);
  if (matrix) SUNMatDestroy(matrix);
  N_VDestroy(l);
  N_VDestroy(q);
  return flag;
}
