{
  # An addon as any package could have it: plain C, and of atfork nothing but its header.
  "targets": [{
    "target_name": "hdf5",
    "sources": ["hdf5.c"],
    "include_dirs": ["<!(node -p \"require('node:path').dirname(require.resolve('atfork/include/atfork.h'))\")"],
    "cflags": ["<!@(pkg-config --cflags hdf5-serial)", "-Wall", "-Wextra"],
    "libraries": ["<!@(pkg-config --libs hdf5-serial)"]
  }]
}
