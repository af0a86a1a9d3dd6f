/**
 * What a process that does not go on is doing: for each of its threads where the kernel has it. Needs no debugger.
 * proc(5); `syscall` and `wchan` are readable by the same user.
 */
const { readFileSync, readdirSync } = require('node:fs');

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code ?? 'unreadable';
  }
}

/** @param {number} pid */
function threadIds(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/**
 * One line per thread of `pid`: tid, name, state, the hundredths of a second that it has had a processor for (one that
 * spins from one that is starved), the kernel function it sleeps in, its system call with arguments.
 */
function describeThreads(/** @type {number} */ pid) {
  const lines = threadIds(pid).map((tid) => {
    const at = `/proc/${pid}/task/${tid}`;
    const stat = read(`${at}/stat`);
    const afterName = stat.lastIndexOf(')') + 1;
    const name = stat.slice(stat.indexOf('('), afterName);
    const [state, ...fields] = stat.slice(afterName + 1).split(' ');
    const ticks = Number(fields[10]) + Number(fields[11]);
    return `${tid} ${name} ${state} ${ticks} ${read(`${at}/wchan`)} | ${read(`${at}/syscall`)}`;
  });
  return lines.length === 0 ? `${pid} is gone` : lines.join('\n');
}

module.exports = { describeThreads };
