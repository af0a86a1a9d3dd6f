/** Diagnostic reports (`process.report`) whose file has been given a name: each process has its own. */
import * as path from 'node:path';

import { hasLoaded } from './loaded-modules';
import { nodeOptions } from './node-options';

/** Whether the command line names them; null until somebody has looked. */
let named: boolean | null = null;

function areReportsNamed(): boolean {
  return (named ??= nodeOptions().some(({ name }) => name === '--report-filename'));
}

/** What an ancestor of this process was told, and what became of it. */
let renamed: { readonly from: string; readonly to: string } | undefined;

/** Child: `name.json` is its parent's; its own is `name.PID.json`. Names that Node makes have a pid in them. */
export function renameReports(): void {
  if (!hasReports()) return;
  const report = process.report as typeof process.report | undefined;
  if (!report?.filename || report.filename === 'stdout' || report.filename === 'stderr') return;
  const from = renamed?.to === report.filename ? renamed.from : report.filename;
  const { dir, name, ext } = path.parse(from);
  report.filename = path.join(dir, `${name}.${String(process.pid)}${ext}`);
  renamed = { from, to: report.filename };
}

/** To ask `process` for them is to load them. */
export function hasReports(): boolean {
  return areReportsNamed() || hasLoaded('internal/process/report');
}
