import { forkRefusal } from './fork-support';

/** Whether something can be had here; if not, the code and the message of the error that asking for it throws. */
export type Capability =
  { readonly supported: true } | { readonly supported: false; readonly code: string; readonly reason: string };

export interface Capabilities {
  /** `fork()`, from the thread that asks. */
  readonly fork: Capability;
}

/** What this package can do on this platform, in this process, on this thread. Never throws. */
export function capabilities(): Capabilities {
  return { fork: capabilityOf(forkRefusal()) };
}

function capabilityOf(refusal: { code: string; message: string } | null): Capability {
  return refusal === null ? { supported: true } : { supported: false, code: refusal.code, reason: refusal.message };
}
