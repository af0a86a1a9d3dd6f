/** The tracker: see name-tracker.ts. Its stdin is the pipe. */
import { nativeBinding } from '../binding';

/** Milliseconds between two looks whether a lock is used, once the process is gone that this was started by. */
const nap = 250;

for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
process.title = 'atfork-tracker';

/** By path, and inode: a name may have been taken away and used again. */
const objects = new Map<string, { path: string; inode: number }>();
let rest = '';

process.stdin.setEncoding('utf8');
process.stdin.on('data', (text: string) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) {
    const [what, inode, file] = line.split(' ');
    if (inode === undefined || file === undefined) continue;
    if (what === '+') objects.set(`${inode} ${file}`, { path: file, inode: Number(inode) });
    else objects.delete(`${inode} ${file}`);
  }
});
process.stdin.on('end', sweep);

function sweep(): void {
  const native = nativeBinding();
  for (const [key, { path, inode }] of objects) {
    if (native.unlinkUnused(path, inode)) objects.delete(key);
  }
  if (objects.size > 0) setTimeout(sweep, nap);
  else process.exit();
}
