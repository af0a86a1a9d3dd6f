/** Numbers about samples. Every duration in scripts/bench is in microseconds unless it says otherwise. */

/** The smallest sample that at least `share` of all samples do not exceed (nearest rank). */
export function quantile(samples, share) {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

export function median(samples) {
  return quantile(samples, 0.5);
}

/** How much more the one takes than the other in the same turn: what slows the machine for a while slows both. */
export function medianDifference(samples, others) {
  return median(samples.map((sample, index) => sample - others[index]));
}

/** What --json keeps of a list of samples. */
export function summaryOf(samples) {
  return { n: samples.length, median: median(samples), p99: quantile(samples, 0.99), worst: quantile(samples, 1) };
}

/** @param {number} us @returns {string} milliseconds, with three digits that count or down to the microsecond */
export function ms(us) {
  const value = us / 1000;
  const decimals = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return `${value.toFixed(decimals)} ms`;
}
