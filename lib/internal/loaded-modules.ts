/** Whether Node has loaded this module of its own ('net', 'internal/crypto/random'); where it does not say, it may have. */
export function hasLoaded(module: string): boolean {
  const { moduleLoadList } = process as unknown as { moduleLoadList?: readonly string[] };
  return moduleLoadList?.includes(`NativeModule ${module}`) ?? true;
}
