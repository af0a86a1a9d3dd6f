/*
 * hdf5.c - the HDF5 library for Node, guarded by one lock as h5py guards it with `phil`, and what atfork.h adds to that.
 *
 * HDF5 is not made for several threads at once, and a file that is read call by call is nobody else's meanwhile. So
 * whoever works with it holds `phil`: Workers, over several calls and the JavaScript between them, and threads of this
 * addon's own. The process forks while one of them does. Its child has no such thread; and without a word to anybody it
 * waits for ever (h5py #2584). guard() says what `phil` is:
 *
 *   "global"       atfork's global lock
 *   "handed-over"  a mutex of this addon's own, which forks take, because it has been handed over
 *   "alone"        the same mutex, of which nobody has been told
 *
 * Runs in: any thread. Everything but guard() and the threads needs `phil`.
 */
#include <errno.h>
#include <hdf5.h>
#include <node_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "atfork.h"

static const atfork_api *atfork;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_global;

/* How often this thread holds phil. What needs it asks: on a Worker that is being ended, the exception of a failed acquire()
 * is dropped, and JavaScript may go on for some lines (atfork.h). */
static _Thread_local int holds;

/* 0 or an errno. EOWNERDEAD: a child of a fork that knew nothing of this; its copy of HDF5 may be in any state. */
static int lock_phil(void) {
  const int error = atomic_load(&is_global) ? atfork->lock(atfork->global_lock()) : pthread_mutex_lock(&mutex);
  if (error == 0) ++holds;
  return error;
}

static int unlock_phil(void) {
  if (holds == 0) return EPERM;
  --holds;
  return atomic_load(&is_global) ? atfork->unlock(atfork->global_lock()) : pthread_mutex_unlock(&mutex);
}

static napi_value fail(napi_env env, const char *what, int error) {
  char text[200];
  snprintf(text, sizeof text, "%s: %s", what, error == 0 ? "HDF5 says no" : strerror(error));
  napi_throw_error(env, NULL, text);
  return NULL;
}

static napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

/* Arguments of a call: a text, if it has one, and numbers. */
struct arguments {
  char text[4096];
  double numbers[2];
};

static void read_arguments(napi_env env, napi_callback_info info, struct arguments *arguments) {
  napi_value values[3];
  size_t count = 3, i, numbers = 0;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  for (i = 0; i < count; ++i) {
    size_t length;
    if (napi_get_value_string_utf8(env, values[i], arguments->text, sizeof arguments->text, &length) == napi_ok) continue;
    if (numbers < 2) napi_get_value_double(env, values[i], &arguments->numbers[numbers++]);
  }
}

/* guard(how): once, before anything else. */
static napi_value guard(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  int error = 0;
  read_arguments(env, info, &arguments);
  atfork = atfork_find();
  if (strcmp(arguments.text, "alone") == 0) return NULL;
  if (atfork == NULL) return fail(env, "atfork is not loaded", ENOENT);
  if (strcmp(arguments.text, "global") == 0) {
    atomic_store(&is_global, 1);
  } else {
    error = atfork->add_mutex(&mutex, "phil", 0, NULL, NULL);
  }
  return error == 0 ? NULL : fail(env, "add_mutex", error);
}

static napi_value acquire(napi_env env, napi_callback_info info) {
  const int error = lock_phil();
  (void)info;
  return error == 0 ? NULL : fail(env, "phil", error);
}

static napi_value release(napi_env env, napi_callback_info info) {
  const int error = unlock_phil();
  (void)info;
  return error == 0 ? NULL : fail(env, "phil", error);
}

/* write(path, rows, columns): a file with one dataset of doubles, each the number of its row. */
static napi_value write_file(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  hsize_t size[2], start[2] = {0, 0}, row[2];
  hid_t file, space, memory, data;
  double values[4096];
  herr_t failed = 0;
  read_arguments(env, info, &arguments);
  if (holds == 0) return fail(env, "write", EPERM);
  size[0] = (hsize_t)arguments.numbers[0];
  size[1] = (hsize_t)arguments.numbers[1];
  if (size[1] > sizeof values / sizeof *values) return fail(env, "write", EINVAL);
  row[0] = 1;
  row[1] = size[1];
  file = H5Fcreate(arguments.text, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  space = H5Screate_simple(2, size, NULL);
  memory = H5Screate_simple(2, row, NULL);
  data = H5Dcreate2(file, "data", H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  for (start[0] = 0; start[0] < size[0] && failed >= 0; ++start[0]) {
    hsize_t column;
    for (column = 0; column < size[1]; ++column) values[column] = (double)start[0];
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, row, NULL);
    failed = H5Dwrite(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values);
  }
  H5Dclose(data);
  H5Sclose(memory);
  H5Sclose(space);
  if (H5Fclose(file) < 0 || failed < 0) return fail(env, "write", 0);
  return NULL;
}

/* The sum of one row of the dataset; -1 when it cannot be read. */
static double sum_of_row(hid_t data, hsize_t row) {
  hsize_t size[2], start[2] = {0, 0}, count[2] = {1, 0}, column;
  hid_t space = H5Dget_space(data), memory;
  double values[4096], sum = -1;
  if (space < 0) return -1;
  H5Sget_simple_extent_dims(space, size, NULL);
  start[0] = row;
  count[1] = size[1];
  memory = H5Screate_simple(2, count, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
  if (row < size[0] && H5Dread(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values) >= 0) {
    for (sum = 0, column = 0; column < size[1]; ++column) sum += values[column];
  }
  H5Sclose(memory);
  H5Sclose(space);
  return sum;
}

/* HDF5's own identifiers have 64 bits, more than a number of JavaScript. Guarded by phil, as all of HDF5 is. */
static hid_t datasets[64];
enum { kDatasets = sizeof datasets / sizeof *datasets };

/* open(path) -> dataset */
static napi_value open_data(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  hid_t file, data;
  int index = 0;
  read_arguments(env, info, &arguments);
  if (holds == 0) return fail(env, "open", EPERM);
  while (index < kDatasets && datasets[index] != 0) ++index;
  if (index == kDatasets) return fail(env, "open", EMFILE);
  file = H5Fopen(arguments.text, H5F_ACC_RDONLY, H5P_DEFAULT);
  data = file < 0 ? file : H5Dopen2(file, "data", H5P_DEFAULT);
  if (file >= 0) H5Fclose(file); /* it stays open for its dataset */
  if (data < 0) return fail(env, "open", 0);
  datasets[index] = data;
  return number(env, index);
}

/* 0, which is nothing that HDF5 knows, if there is no such dataset. */
static hid_t dataset_of(double index) { return index >= 0 && index < kDatasets ? datasets[(int)index] : 0; }

/* sumOfRow(row, dataset) */
static napi_value sum_row(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  double sum;
  read_arguments(env, info, &arguments);
  if (holds == 0) return fail(env, "read", EPERM);
  sum = sum_of_row(dataset_of(arguments.numbers[1]), (hsize_t)arguments.numbers[0]);
  return sum < 0 ? fail(env, "read", 0) : number(env, sum);
}

static napi_value close_data(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  hid_t data;
  read_arguments(env, info, &arguments);
  if (holds == 0) return fail(env, "close", EPERM);
  data = dataset_of(arguments.numbers[0]);
  if (data == 0 || H5Dclose(data) < 0) return fail(env, "close", 0);
  datasets[(int)arguments.numbers[0]] = 0;
  return NULL;
}

/* Threads of this addon's own, which read as the Workers do. */
static char thread_path[4096];
static pthread_t threads[16];
static size_t thread_count;
static atomic_bool stop;
static atomic_long rounds, failures;

static void *read_for_ever(void *arg) {
  (void)arg;
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* each thread has its own */
  while (!atomic_load(&stop)) {
    hid_t file, data;
    hsize_t row;
    if (lock_phil() != 0) break;
    file = H5Fopen(thread_path, H5F_ACC_RDONLY, H5P_DEFAULT);
    data = H5Dopen2(file, "data", H5P_DEFAULT);
    for (row = 0; row < 4; ++row) {
      if (sum_of_row(data, row) < 0) atomic_fetch_add(&failures, 1);
    }
    H5Dclose(data);
    H5Fclose(file);
    unlock_phil();
    atomic_fetch_add(&rounds, 1);
  }
  return NULL;
}

/* startThreads(path, count) */
static napi_value start_threads(napi_env env, napi_callback_info info) {
  struct arguments arguments;
  read_arguments(env, info, &arguments);
  strcpy(thread_path, arguments.text);
  while (thread_count < (size_t)arguments.numbers[0] && thread_count < sizeof threads / sizeof *threads) {
    const int error = pthread_create(&threads[thread_count], NULL, read_for_ever, NULL);
    if (error != 0) return fail(env, "pthread_create", error);
    ++thread_count;
  }
  return NULL;
}

/* stopThreads() -> how often they have read the file; throws if they ever failed to. */
static napi_value stop_threads(napi_env env, napi_callback_info info) {
  (void)info;
  atomic_store(&stop, 1);
  while (thread_count > 0) pthread_join(threads[--thread_count], NULL);
  if (atomic_load(&failures) > 0) return fail(env, "a thread's read", 0);
  return number(env, (double)atomic_load(&rounds));
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"guard", guard},           {"acquire", acquire},   {"release", release},
      {"write", write_file},      {"open", open_data},    {"sumOfRow", sum_row},
      {"close", close_data},      {"startThreads", start_threads},
      {"stopThreads", stop_threads},
  };
  size_t i;
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors are thrown */
  for (i = 0; i < sizeof functions / sizeof *functions; ++i) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}
