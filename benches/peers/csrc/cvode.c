/* One run of CVODE (SUNDIALS 6); right-hand side and Jacobian are callbacks into Rust. */
#include <cvode/cvode.h>
#include <nvector/nvector_serial.h>
#include <string.h>
#include <sundials/sundials_context.h>
#include <sunlinsol/sunlinsol_band.h>
#include <sunlinsol/sunlinsol_dense.h>
#include <sunlinsol/sunlinsol_klu.h>
#include <sunmatrix/sunmatrix_band.h>
#include <sunmatrix/sunmatrix_dense.h>
#include <sunmatrix/sunmatrix_sparse.h>
#include <sunnonlinsol/sunnonlinsol_fixedpoint.h>

/* Both return 0, or another number to stop the run. `value` is, by kind: n * n column by column and zero; the values of the
   pattern column by column; SUNDIALS' band columns, zero. */
typedef int (*rhs_fn)(double t, const double *y, double *f, void *user);
typedef int (*jacobian_fn)(double t, const double *y, double *value, void *user);
enum kind { DENSE = 0, SPARSE = 1, BAND = 2, ADAMS = 3 };

struct run {
  rhs_fn rhs;
  jacobian_fn jacobian;
  void *user;
  int kind;
  long n, entries;
  const long *column_starts, *rows;
};

static int rhs(realtype t, N_Vector y, N_Vector f, void *p) {
  struct run *run = p;
  return run->rhs(t, N_VGetArrayPointer(y), N_VGetArrayPointer(f), run->user);
}

static int jacobian(realtype t, N_Vector y, N_Vector f, SUNMatrix j, void *p, N_Vector a, N_Vector b, N_Vector c) {
  struct run *run = p;
  double *value = NULL;
  (void)f; (void)a; (void)b; (void)c;
  if (run->kind == SPARSE) {
    memcpy(SUNSparseMatrix_IndexPointers(j), run->column_starts, (run->n + 1) * sizeof(long));
    memcpy(SUNSparseMatrix_IndexValues(j), run->rows, run->entries * sizeof(long));
    value = SUNSparseMatrix_Data(j);
  } else {
    SUNMatZero(j);
    value = run->kind == DENSE ? SUNDenseMatrix_Data(j) : SM_DATA_B(j);
  }
  return run->jacobian(t, N_VGetArrayPointer(y), value, run->user);
}

static void quiet(int code, const char *module, const char *function, char *message, void *p) {
  (void)code; (void)module; (void)function; (void)message; (void)p;
}

/* Sets y to the state at t1 and `steps`; returns CVODE's flag, negative for a failure. */
int peers_cvode(long n, double *y, double t0, double t1, double rtol, double atol, rhs_fn f, jacobian_fn j, void *user,
                int kind, long entries, const long *column_starts, const long *rows, long lower, long upper, long *steps) {
  struct run run = {f, j, user, kind, n, entries, column_starts, rows};
  SUNContext context;
  if (SUNContext_Create(NULL, &context)) return -100;
  N_Vector state = N_VMake_Serial(n, y, context);
  void *cvode = CVodeCreate(kind == ADAMS ? CV_ADAMS : CV_BDF, context);
  SUNMatrix matrix = NULL;
  SUNLinearSolver linear = NULL;
  SUNNonlinearSolver nonlinear = NULL;
  int flag = CVodeInit(cvode, rhs, t0, state);
  CVodeSetErrHandlerFn(cvode, quiet, NULL);
  CVodeSStolerances(cvode, rtol, atol);
  CVodeSetUserData(cvode, &run);
  CVodeSetMaxNumSteps(cvode, 100000000);
  if (kind == ADAMS) {
    nonlinear = SUNNonlinSol_FixedPoint(state, 0, context);
    CVodeSetNonlinearSolver(cvode, nonlinear);
  } else {
    if (kind == DENSE) {
      matrix = SUNDenseMatrix(n, n, context);
      linear = SUNLinSol_Dense(state, matrix, context);
    } else if (kind == SPARSE) {
      matrix = SUNSparseMatrix(n, n, entries, CSC_MAT, context);
      linear = SUNLinSol_KLU(state, matrix, context);
    } else {
      matrix = SUNBandMatrix(n, upper, lower, context);
      linear = SUNLinSol_Band(state, matrix, context);
    }
    CVodeSetLinearSolver(cvode, linear, matrix);
    CVodeSetJacFn(cvode, jacobian);
  }
  CVodeSetStopTime(cvode, t1);
  double t = t0;
  if (flag >= 0) flag = CVode(cvode, t1, state, &t, CV_NORMAL);
  CVodeGetNumSteps(cvode, steps);
  CVodeFree(&cvode);
  if (linear) SUNLinSolFree(linear);
  if (matrix) SUNMatDestroy(matrix);
  if (nonlinear) SUNNonlinSolFree(nonlinear);
  N_VDestroy(state);
  SUNContext_Free(&context);
  return flag;
}
