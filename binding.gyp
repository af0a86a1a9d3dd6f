{
  # native_tests=1 builds the C++ tests too (scripts/setup.mjs --tests), examples=1 what the examples need, bench=1 the
  # addon of the benchmarks; none of test/, examples/ and scripts/ is part of the published package.
  "variables": {"native_tests%": 0, "examples%": 0, "bench%": 0},
  "target_defaults": {
    # glibc_compat.h: no glibc symbol newer than 2.31 (scripts/check-glibc-floor.mjs).
    # O2, no-plt, and noseparate-code below: half the pages of code, in one mapping. Every fork of the process, be it
    # ours or not, copies the mappings, and its child faults in the pages that its handlers run through.
    "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti",
                  "-O2", "-fno-plt", "-include", "posix/glibc_compat.h"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["native"],
    "conditions": [["\"<!(node -p \"process.env.CI || ''\")\" != \"\"", {"cflags_cc": ["-Werror"]}]]
  },
  "targets": [
    {
      # What needs neither Node nor JavaScript, apart so that native_tests can do without both.
      "target_name": "core",
      "type": "static_library",
      # Some distributions' compilers turn it on; its longjmp refuses to leave one stack for another (thread_restart.cc).
      "cflags_cc": ["-U_FORTIFY_SOURCE"],
      "sources": [
        "native/child/confine.cc",
        "native/child/exec_child.cc",
        "native/child/hold.cc",
        "native/child/thread_restart.cc",
        "native/posix/at_fork_hook.cc",
        "native/posix/at_fork_list.cc",
        "native/posix/bypassed_fork.cc",
        "native/posix/child_end.cc",
        "native/posix/dumpable.cc",
        "native/posix/elf_file.cc",
        "native/posix/exec.cc",
        "native/posix/exec_plan.cc",
        "native/posix/exit.cc",
        "native/posix/fork_exec.cc",
        "native/posix/fork_mutex.cc",
        "native/posix/fork_permit.cc",
        "native/posix/function_name.cc",
        "native/posix/futex.cc",
        "native/posix/fresh_random.cc",
        "native/posix/glibc_compat.cc",
        "native/posix/libc_symbols.cc",
        "native/posix/lock_registry.cc",
        "native/posix/lock_wait.cc",
        "native/posix/named_lock.cc",
        "native/posix/private_copy.cc",
        "native/posix/process_lock.cc",
        "native/posix/process_semaphore.cc",
        "native/posix/presence.cc",
        "native/posix/process_state.cc",
        "native/posix/program_output.cc",
        "native/posix/range_set.cc",
        "native/posix/shared_lock.cc",
        "native/posix/shared_locks.cc",
        "native/posix/shared_memory.cc",
        "native/posix/shared_object.cc",
        "native/posix/shared_page.cc",
        "native/posix/spin.cc",
        "native/posix/stillness.cc",
        "native/posix/thread_census.cc",
        "native/posix/thread_directory.cc",
        "native/posix/thread_layout.cc",
        "native/posix/unclaimed_children.cc",
        "native/posix/user_database.cc",
        "native/posix/wait.cc",
        "native/posix/wait_graph.cc"
      ]
    },
    {
      "target_name": "atfork",
      "dependencies": ["core"],
      "sources": [
        "native/addon.cc",
        "native/posix/c_api.cc",
        "native/binding/binding.cc",
        "native/binding/child_watches.cc",
        "native/binding/exec_binding.cc",
        "native/binding/fork_binding.cc",
        "native/binding/handle_binding.cc",
        "native/binding/lock_binding.cc",
        "native/binding/lock_call.cc",
        "native/binding/loop_waits.cc",
        "native/binding/permit_binding.cc",
        "native/binding/process_binding.cc",
        "native/binding/random_binding.cc",
        "native/binding/shared_binding.cc",
        "native/runtime/child_limits.cc",
        "native/runtime/child_ends.cc",
        "native/runtime/credentials.cc",
        "native/runtime/event_loop.cc",
        "native/runtime/exit_joins.cc",
        "native/runtime/fork.cc",
        "native/runtime/fork_verdict.cc",
        "native/runtime/gate.cc",
        "native/runtime/glibc_layout.cc",
        "native/runtime/heap_mappings.cc",
        "native/runtime/import_table.cc",
        "native/runtime/inherited_fds.cc",
        "native/runtime/libc_threads.cc",
        "native/runtime/loop_fds.cc",
        "native/runtime/loop_replacement.cc",
        "native/runtime/loop_rings.cc",
        "native/runtime/loop_waker.cc",
        "native/runtime/lost_threads.cc",
        "native/runtime/math_random.cc",
        "native/runtime/openssl_seed.cc",
        "native/runtime/park_position.cc",
        "native/runtime/park_signal.cc",
        "native/runtime/loop_batch.cc",
        "native/runtime/pending_work.cc",
        "native/runtime/pool_rest.cc",
        "native/runtime/query_ids.cc",
        "native/runtime/profile_files.cc",
        "native/runtime/quiesce.cc",
        "native/runtime/request_queue.cc",
        "native/runtime/roll_call.cc",
        "native/runtime/runtime_threads.cc",
        "native/runtime/shared_mappings.cc",
        "native/runtime/stdio_guard.cc",
        "native/runtime/thread_kinds.cc",
        "native/runtime/thread_roles.cc",
        "native/runtime/worker_aborts.cc",
        "native/runtime/worker_requests.cc",
        "native/runtime/worker_waits.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      # SWALLOW: a Worker that is being terminated can throw nothing; by default that ends the process.
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      # now: no symbol is looked up in the child. nodelete: the Worker that loaded the addon may end, its handlers stay.
      "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,-z,relro", "-Wl,-z,noseparate-code",
                  "-Wl,--version-script=<(module_root_dir)/native/exports.map"]
    }
  ],
  "conditions": [
    ["examples==1", {
      "targets": [{"target_name": "plain_fork", "sources": ["examples/h5-phil/plain_fork.cc"]}]
    }],
    ["native_tests==1", {
      "targets": [
        {
          "target_name": "native_tests",
          "type": "executable",
          "dependencies": ["core"],
          "sources": [
            "test/native/main.cc",
            "native/posix/c_api.cc",
            "test/native/claim.cc",
            "test/native/at_fork_list_test.cc",
            "test/native/bypassed_fork_test.cc",
            "test/native/c_api_test.cc",
            "test/native/confine_test.cc",
            "test/native/exec_test.cc",
            "test/native/fork_exec_fds_test.cc",
            "test/native/fork_exec_process_test.cc",
            "test/native/fork_exec_refusals_test.cc",
            "test/native/fork_exec_test.cc",
            "test/native/fork_lock_test.cc",
            "test/native/fork_permit_test.cc",
            "test/native/function_name_test.cc",
            "test/native/hold_test.cc",
            "test/native/libc_symbols_test.cc",
            "test/native/lock_queue_test.cc",
            "test/native/lock_registry_test.cc",
            "test/native/process_lock_fork_test.cc",
            "test/native/process_lock_test.cc",
            "test/native/program_output_test.cc",
            "test/native/semantics_handlers_test.cc",
            "test/native/semantics_inheritance_test.cc",
            "test/native/semantics_locks_test.cc",
            "test/native/semantics_processes_test.cc",
            "test/native/semantics_threads_test.cc",
            "test/native/shared_lock_test.cc",
            "test/native/stillness_test.cc",
            "test/native/thread_census_test.cc",
            "test/native/wait_test.cc"
          ],
          "include_dirs": ["test/native"]
        },
        {
          "target_name": "contended_handler",
          "sources": ["test/native/contended_handler.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
        },
        {
          "target_name": "foreign_threads",
          "sources": ["test/native/foreign_threads.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
        },
        {
          "target_name": "registrar",
          "sources": ["test/native/registrar.cc"]
        },
        {
          "target_name": "runtime_thread",
          "sources": ["test/native/runtime_thread.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
        },
        {
          "target_name": "shared_mapping",
          "sources": ["test/native/shared_mapping.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
        }
      ]
    }],
    ["bench==1", {
      "targets": [
        {
          "target_name": "bench",
          "sources": ["scripts/bench/native/bench.cc", "scripts/bench/native/exec.cc", "scripts/bench/native/locks.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
        }
      ]
    }]
  ]
}
