/**
 * Queries of c-ares (`dns.resolve*`, `dns.reverse`) that are under way. They are the parent's: a child's copy would ask again as
 * soon as its own timer has run out, be heard there too, and keep the child alive until then.
 *
 * Node keeps no list of them, so each is noted when it begins, where the resolvers of both interfaces hand it to their channel:
 * lib/internal/dns/callback_resolver.js and promises.js, `this._handle[bindingName](request, name)`.
 */
import * as dns from 'node:dns';

type Complete = (this: Query, ...results: unknown[]) => void;

interface Query {
  oncomplete: Complete;
}

interface Channel {
  cancel(): void;
}

type Ask = (this: Channel, query: Query, ...rest: unknown[]) => number;

/** Until their answer is delivered: c-ares may have it long before. */
const underWay = new Map<Query, Channel>();

/** Main thread, once. One that has begun before is not known. Returns why none can be, or null. */
export function watchQueries(): string | null {
  const channel = anyChannel();
  if (channel === undefined) return 'DNS queries: no channel of c-ares can be made';
  const prototype = Object.getPrototypeOf(channel) as Record<string, Ask>;
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const ask = prototype[name];
    if (ask !== undefined && /^(query|getHostByAddr)/.test(name)) prototype[name] = noting(ask);
  }
  return null;
}

function anyChannel(): Channel | undefined {
  try {
    return (new dns.Resolver() as unknown as { _handle?: Channel })._handle;
  } catch {
    return undefined;
  }
}

function noting(ask: Ask): Ask {
  return function (query, ...rest) {
    const { oncomplete } = query;
    query.oncomplete = function (...results) {
      underWay.delete(this);
      oncomplete.apply(this, results);
    };
    underWay.set(query, this);
    const error = ask.call(this, query, ...rest);
    if (error !== 0) underWay.delete(query);
    return error;
  };
}

/** Child: nobody hears of them any more. Their channels go on with what is asked from here on. */
export function dropQueries(): void {
  if (underWay.size === 0) return;
  for (const query of underWay.keys()) query.oncomplete = ignore;
  // It delivers that they were cancelled, in the next turn.
  for (const channel of new Set(underWay.values())) channel.cancel();
  underWay.clear();
}

function ignore(): void {
  // It is the parent's.
}
