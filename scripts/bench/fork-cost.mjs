/** The parent's time in `fork()`, from the call to its return, against a raw fork that includes V8's heap. */
import { median, ms, summaryOf } from './lib/stats.mjs';

const contents = { blank: 200, '256 MB Buffers': 100, '3M objects': 60, '1.5 GB Buffers': 60 };

export async function measure({ start, samples }) {
  const rows = [];
  for (const [content, pairs] of Object.entries(contents)) {
    const subject = start('fork-cost', [content], { execArgv: ['--max-old-space-size=4096'] });
    const { raw, ours } = await subject.ask('measure', samples(pairs));
    await subject.end();
    const limit = 1.3 * median(raw) + 500;
    rows.push({
      what: content,
      must: '<= 1.3 x raw + 0.5 ms',
      measured: `${ms(median(ours))} (raw ${ms(median(raw))}, limit ${ms(limit)})`,
      n: ours.length,
      ok: median(ours) <= limit,
      values: { fork: summaryOf(ours), raw: summaryOf(raw) },
    });
  }
  return rows;
}
