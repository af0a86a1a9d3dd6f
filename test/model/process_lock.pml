/*
 * process_lock.pml - the protocol of native/posix/process_lock: the word, the queue, forks, and owners that end.
 *
 * Three threads take the lock, patiently or not, and leave it, or end while they hold it. The first of them forks twice, in
 * either way: as fork() of this library does, which waits for the lock, and whose child has the other threads, too, to be
 * ended there; or as any library does, which gives up at some time, and whose child has no other thread. Parent and child
 * share nothing from then on, so each fork goes on as one or as the other, and both are looked at.
 *
 *   npm run check:model
 *
 * What is checked, in every order in which all of this can happen:
 *   - one thread at most is inside; in a child none of its parent's ever is
 *   - nobody waits for ever: when nothing moves any more, every thread of this process has come to its end
 *   - whoever gets in after an owner that ended inside is told so, until somebody has put it right
 *   - nobody gets in once the lock has been given back without that
 *
 * What is left out: the spin before the queue and the millisecond of fairness (a release may always do either), recursion
 * but for the fork's, event loops as waiters, new threads of a child, and that memory is not copied all at once.
 */
#define N 3
#define ROUNDS 2
#define FORKS 2

mtype = { asleep, napping, woken, granted };
mtype = { acquired, owner_died, timed_out, not_recoverable, cancelled };

/* The word. Free: owner is 0. A thread of another generation cannot take it. */
byte owner;
byte generation;
bool waiters, awake, orphaned, lost;

/* The ShortLock, and what it guards. */
byte short_holder;
byte queue[N];
byte queued;
mtype state[N + 1];

/* What each thread knows of itself. */
byte own_generation[N + 1];
mtype status[N + 1];
bool in_queue[N + 1];
bool done[N + 1];
bool gone[N + 1]; /* it does not exist in this process */

/* For the checks. */
byte inside;
bool dirty;   /* somebody ended inside, and nobody has put it right */
bool spoiled; /* and somebody has given it back all the same */

inline enter_short(id) { atomic { short_holder == 0 -> short_holder = id } }
inline leave_short() { short_holder = 0 }

inline append(id) {
  queue[queued] = id;
  queued++;
  in_queue[id] = true
}

inline remove(id) {
  if
  :: in_queue[id] ->
     i = 0;
     do
     :: i < queued && queue[i] != id -> i++
     :: else -> break
     od;
     do
     :: i + 1 < queued -> queue[i] = queue[i + 1]; i++
     :: else -> break
     od;
     queued--;
     queue[queued] = 0;
     in_queue[id] = false;
     i = 0
  :: else
  fi
}

/* LockQueue::Rouse: there are no loops here, so it is the first one. */
inline rouse() {
  if
  :: queued > 0 && state[queue[0]] == asleep -> state[queue[0]] = woken
  :: else
  fi
}

/* One compare-and-swap, of JavaScript's or of TryAcquire. */
inline try_acquire(id) {
  atomic {
    if
    :: own_generation[id] != generation -> status[id] = cancelled
    :: else ->
       if
       :: lost -> status[id] = not_recoverable
       :: !lost && owner == 0 -> owner = id; status[id] = (orphaned -> owner_died : acquired)
       :: else -> status[id] = timed_out
       fi
    fi
  }
}

/* ProcessLock::Look. What it does to the word is one compare-and-swap, made again until the word was as it was read. */
inline look(id, stays) {
  enter_short(id);
  atomic {
    if
    :: own_generation[id] != generation -> status[id] = cancelled
    :: else ->
       if
       :: state[id] == granted -> status[id] = (orphaned -> owner_died : acquired)
       :: state[id] != granted && lost -> remove(id); rouse(); status[id] = not_recoverable
       :: state[id] != granted && !lost ->
          naps = false;
          if
          :: state[id] == woken || state[id] == napping -> awake = false
          :: (state[id] == woken || state[id] == napping) && owner != 0 && stays -> naps = true /* its turn has not come */
          :: else
          fi;
          if
          :: owner == 0 ->
             owner = id;
             remove(id);
             waiters = queued > 0;
             status[id] = (orphaned -> owner_died : acquired)
          :: owner != 0 && stays ->
             if
             :: !in_queue[id] -> append(id)
             :: else
             fi;
             state[id] = (naps -> napping : asleep);
             waiters = true;
             status[id] = timed_out
          :: owner != 0 && !stays ->
             remove(id);
             waiters = queued > 0;
             status[id] = timed_out
          fi
       fi
    fi
  }
  leave_short()
}

/* ProcessLock::Acquire. An impatient one may have enough at any time. */
inline acquire(id, impatient) {
  try_acquire(id);
  if
  :: status[id] == timed_out ->
     state[id] = asleep;
     look(id, true);
     do
     :: status[id] != timed_out -> break
     :: status[id] == timed_out ->
        if
        /* Coming back in a child interrupts the sleep. */
        :: state[id] != asleep || own_generation[id] != generation -> look(id, true)
        :: impatient && (state[id] == asleep || state[id] == napping) -> look(id, false); break
        fi
     od
  :: else
  fi
}

/* ProcessLock::Unlock: `spoils` makes it lost, `orphans` orphaned; else it stays as it is. */
inline unlock(id, spoils, orphans) {
  atomic {
    if
    :: !spoils && (!waiters || awake) -> owner = 0; orphaned = orphaned || orphans; fast = true
    :: else -> fast = false
    fi
  }
  if
  :: fast
  :: !fast ->
     enter_short(id);
     atomic {
       orphaned = orphaned || orphans;
       if
       :: spoils -> lost = true; owner = 0; waiters = false; awake = false; rouse()
       :: !spoils && queued == 0 -> owner = 0; waiters = false
       :: !spoils && queued > 0 -> /* has waited for less than a millisecond */
          owner = 0;
          rouse();
          awake = true
       :: !spoils && queued > 0 -> /* or for longer */
          i = queue[0];
          owner = i;
          state[i] = granted;
          j = i;
          i = 0;
          remove(j);
          j = 0;
          waiters = queued > 0
       fi
     }
     leave_short()
  fi;
  fast = false
}

inline enter(id) {
  atomic {
    inside++;
    assert(inside == 1);
    assert(own_generation[id] == generation);
    assert(owner == id);
    assert(!spoiled);
    assert(!dirty || status[id] == owner_died)
  }
}

inline leave(id) {
  if
  :: status[id] == acquired -> inside--; unlock(id, false, false)
  :: status[id] == owner_died -> atomic { orphaned = false; dirty = false }; inside--; unlock(id, false, false)
  :: status[id] == owner_died -> atomic { inside--; spoiled = true }; unlock(id, true, false)
  fi
}

/* The thread ends inside: ProcessLock::Abandon. */
inline die(id) {
  atomic { inside--; dirty = true };
  unlock(id, false, true)
}

proctype Thread(byte me) provided (!gone[me]) {
  byte round, i, j;
  bool fast, naps;
  do
  :: round < ROUNDS && status[me] != cancelled ->
     round++;
     if
     :: true -> acquire(me, false)
     :: true -> acquire(me, true)
     :: true -> try_acquire(me)
     fi;
     if
     :: status[me] == acquired || status[me] == owner_died ->
        enter(me);
        if
        :: true -> leave(me)
        :: true -> die(me); break
        fi
     :: else
     fi
  :: else -> break
  od;
  done[me] = true
}

/* ProcessLock::AfterForkChild. `has_it`: prepare has taken it, or the forking thread had it before. */
inline after_fork_child(has_it, others_come_along) {
  generation++;
  own_generation[1] = generation;
  short_holder = 0;
  queued = 0;
  queue[0] = 0;
  queue[1] = 0;
  queue[2] = 0;
  in_queue[2] = false;
  in_queue[3] = false;
  waiters = false;
  awake = false;
  spoiled = lost; /* who was about to give it back so, is not here, and has only left it behind */
  if
  :: !others_come_along -> gone[2] = true; gone[3] = true
  :: else
  fi;
  if
  :: has_it || lost
  :: !has_it && !lost ->
     /* What is inside now is nobody any more. */
     if
     :: inside > 0 -> dirty = true; inside = 0
     :: else
     fi;
     owner = 0;
     orphaned = true
  fi
}

proctype Forker() {
  byte forks, i, j;
  bool fast, naps, has_it, is_child;
  do
  :: forks < FORKS ->
     forks++;
     if
     :: true -> /* ours: with patience, and only while nobody is inside of the addon's code */
        acquire(1, false);
        has_it = status[1] != not_recoverable;
        if
        :: has_it -> enter(1)
        :: else
        fi;
        atomic {
          short_holder == 0 ->
          if
          :: is_child = false
          :: is_child = true; after_fork_child(true, true)
          fi
        }
     :: true -> /* another library's: gives up at some time, and comes at any time */
        acquire(1, true);
        has_it = status[1] == acquired || status[1] == owner_died;
        if
        :: has_it -> enter(1)
        :: else
        fi;
        atomic {
          if
          :: is_child = false
          :: is_child = true; after_fork_child(has_it, false)
          fi
        }
     :: true -> /* in the midst of a section of its own, of either kind */
        acquire(1, false);
        if
        :: status[1] == not_recoverable -> has_it = false
        :: else ->
           has_it = true;
           enter(1);
           atomic {
             if
             :: is_child = false
             :: short_holder == 0 -> is_child = true; after_fork_child(true, true)
             :: is_child = true; after_fork_child(true, false)
             fi
           };
           /* What it does there then is what any thread does. */
           leave(1);
           has_it = false
        fi
     fi;
     if
     :: has_it -> inside--; unlock(1, false, false); has_it = false /* a fork repairs nothing, and spoils nothing */
     :: else
     fi
  :: else -> break
  od;
  done[1] = true
}

/* When nothing moves any more. */
proctype Watch() {
  timeout ->
  assert(done[1]);
  assert(done[2] || gone[2]);
  assert(done[3] || gone[3]);
  assert(inside == 0)
}

init {
  atomic {
    state[1] = asleep;
    state[2] = asleep;
    state[3] = asleep;
    status[1] = timed_out;
    status[2] = timed_out;
    status[3] = timed_out;
    run Forker();
    run Thread(2);
    run Thread(3);
    run Watch()
  }
}
