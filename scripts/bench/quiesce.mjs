/**
 * How long fork() waits for the runtime's threads, while these mark a heap of 1 GB. Beside it, how long a control thread
 * took to be woken and to answer just before: a stopped thread needs a CPU to take its signal, and no library can help
 * that.
 */
import { median, ms, quantile, summaryOf } from './lib/stats.mjs';

const limits = [
  { what: 'p99', share: 0.99, allowed: 2_000 },
  { what: 'worst', share: 1, allowed: 20_000 },
];

export async function measure({ start, samples }) {
  const subject = start('quiesce', [], { execArgv: ['--max-old-space-size=1600'] });
  const { fork, wait, raw, control, running } = await subject.ask('measure', samples(1000));
  await subject.end();
  const told = wait.length > 0;
  // Without the library's own timings: what fork() took longer than the raw fork beside it, its other steps included.
  const waits = told ? wait : fork.map((us, index) => us - raw[index]);
  return limits.map(({ what, share, allowed }) => {
    const value = quantile(waits, share);
    const limit = allowed + quantile(control, share);
    return {
      what: told ? what : `${what} of fork() - raw fork`,
      must: `<= ${ms(allowed)} + control`,
      measured:
        `${ms(value)} (control ${ms(limit - allowed)}, limit ${ms(limit)}); ` +
        `median ${ms(median(waits))}, ${median(running)} threads running`,
      n: waits.length,
      ok: value <= limit,
      values: {
        wait: summaryOf(waits),
        fork: summaryOf(fork),
        control: summaryOf(control),
        running: summaryOf(running),
      },
    };
  });
}
