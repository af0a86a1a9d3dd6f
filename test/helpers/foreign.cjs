/** Threads of an addon: test/native/foreign_threads.cc, which is not there where only the package itself was built. */

/** The addon, or the end of a case that cannot be run here. */
function foreign() {
  try {
    return require('../../build/Release/foreign_threads.node');
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    console.log('not there');
    process.exit();
  }
}

module.exports = { foreign };
