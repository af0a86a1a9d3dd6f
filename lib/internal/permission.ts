/** Node's permission model (`--permission`), which native code would pass by. */

interface Permission {
  has(scope: string): boolean;
}

/** @throws Error ERR_ACCESS_DENIED, as from Node itself, unless this process may start programs. */
export function requireChildPermission(file: string): void {
  const { permission } = process as { permission?: Permission };
  if (permission === undefined || permission.has('child')) return;
  const error = new Error('Access to this API has been restricted. Use --allow-child-process to manage permissions.');
  throw Object.assign(error, { code: 'ERR_ACCESS_DENIED', permission: 'ChildProcess', resource: file });
}
