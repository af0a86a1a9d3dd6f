/**
 * Runs a command of the tests: `body` with what `readArguments` returns, to the exit status that it resolves to. What
 * `readArguments` throws is misuse: its message, and status 100.
 */
export async function runCommand(readArguments, body) {
  let options;
  try {
    options = readArguments();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 100;
    return;
  }
  process.exitCode = await body(options);
}
