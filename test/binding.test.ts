import * as fs from 'node:fs';
import * as path from 'node:path';

import { expect, it, vi } from 'vitest';

import { locateBinding } from '../lib/binding';
import { fixturePasses } from './helpers/run-fixture';
import { temporaryTree } from './scripts/run-script';

const root = path.join(__dirname, '..');
const built = path.join(root, 'build', 'Release', 'atfork.node');

/** A copy of the package without its addon. */
function packageWith(files: Readonly<Record<string, string>>): string {
  const folder = temporaryTree(files);
  for (const name of ['dist', 'package.json'])
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

async function refusalsOf(folder: string): Promise<unknown> {
  return JSON.parse(await fixturePasses('without-addon.cjs', { args: [folder] }));
}

async function addonOf(folder: string): Promise<string> {
  return (await fixturePasses('which-addon.cjs', { args: [folder] })).trim();
}

it('finds the addon that was built here', async () => {
  expect(await addonOf(root)).toBe(built);
});

it('takes a prebuilt addon where none was built', async () => {
  const folder = packageWith({});
  const prebuilt = path.join(folder, 'prebuilds', `${process.platform}-${process.arch}`, 'atfork.glibc.node');
  fs.mkdirSync(path.dirname(prebuilt), { recursive: true });
  fs.copyFileSync(built, prebuilt);
  expect(await addonOf(folder)).toBe(prebuilt);
});

it('without an addon the package loads, and its functions say what is missing', async () => {
  const refusal: unknown = expect.objectContaining({
    name: 'ForkError',
    code: 'ERR_ATFORK_UNSUPPORTED',
    message: expect.stringContaining('neither build/Release/atfork.node nor prebuilds/') as string,
  });
  expect(await refusalsOf(packageWith({}))).toEqual([refusal, refusal]);
});

it('with an addon that does not load it is the same, with the reason of the dynamic linker', async () => {
  const folder = packageWith({
    'build/Release/atfork.node': 'no ELF file, and long enough for a header: '.padEnd(80, '.'),
  });
  const refusal: unknown = expect.objectContaining({
    code: 'ERR_ATFORK_UNSUPPORTED',
    message: expect.stringContaining('invalid ELF header') as string,
  });
  expect(await refusalsOf(folder)).toEqual([refusal, refusal]);
});

it('on another platform it names that', () => {
  const platform = vi.spyOn(process, 'platform', 'get').mockReturnValue('darwin');
  expect(locateBinding(root)).toMatchObject({ unavailable: 'atfork needs Linux, this is darwin' });
  platform.mockRestore();
});
