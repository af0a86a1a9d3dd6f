/** Diagnostic reports (`process.report`) whose file has been given a name: each process has its own. */
import * as path from 'node:path';

import { hasLoaded } from './loaded-modules';
import { nodeOptions } from './node-options';

/** Whether the command line names them; null until somebody has looked. */
let named: boolean | null = null;

function areReportsNamed(): boolean {
  return (named ??= nodeOptions().some(({ name }) => name === '--report-filename'));
}

/** Child: `name.json` is its parent's; its own is `name.PID.json`. Names that Node makes have a pid in them. */
export function renameReports(): void {
  if (!hasReports()) return;
  const report = process.report as typeof process.report | undefined;
  if (!report?.filename || report.filename === 'stdout' || report.filename === 'stderr') return;
  const { dir, name, ext } = path.parse(report.filename);
  report.filename = path.join(dir, `${name}.${String(process.pid)}${ext}`);
}

/** To ask `process` for them is to load them. */
export function hasReports(): boolean {
  return areReportsNamed() || hasLoaded('internal/process/report');
}
