// at_fork_list_test.cc - the order of at-fork handlers, without a fork.
// Runs in:  native_tests.
#include "posix/at_fork_list.h"

#include <climits>
#include <string>

#include "test.h"

namespace {

using atfork::AtForkHandler;
using atfork::AtForkList;
using atfork::Ranks;

std::string trace;

void Note(const char* phase, void* arg) { trace += phase + std::string(static_cast<const char*>(arg)) + " "; }

// A handler that writes its name down; static storage, as the list wants it.
AtForkHandler Named(int rank, const char* name) {
  return {rank, [](void* arg) { Note("<", arg); }, [](void* arg) { Note(">", arg); }, [](void* arg) { Note("*", arg); },
          const_cast<char*>(name)};
}

std::string Trace(void (AtForkList::*run)(uint32_t, Ranks) const, const AtForkList& list, uint32_t fork,
                  Ranks ranks = {}) {
  trace.clear();
  (list.*run)(fork, ranks);
  return trace;
}

// Whether the list took it.
bool Added(AtForkList* list, const AtForkHandler& handler) { return list->Add(&handler) < AtForkList::kCapacity; }

TEST(prepare_runs_backwards_and_the_others_forwards) {
  AtForkList list;
  const AtForkHandler a = Named(0, "a"), b = Named(0, "b"), c = Named(0, "c");
  for (const AtForkHandler* handler : {&a, &b, &c}) CHECK(Added(&list, *handler));
  const uint32_t fork = list.Begin();
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, fork), "<c <b <a ");
  CHECK_EQ(Trace(&AtForkList::RunParent, list, fork), ">a >b >c ");
  CHECK_EQ(Trace(&AtForkList::RunChild, list, fork), "*a *b *c ");
}

TEST(a_low_rank_is_outermost_whenever_it_was_registered) {
  AtForkList list;
  const AtForkHandler inner = Named(9, "inner"), outer = Named(-1, "outer"), b = Named(5, "b"), c = Named(5, "c");
  for (const AtForkHandler* handler : {&inner, &b, &outer, &c}) CHECK(Added(&list, *handler));
  const uint32_t fork = list.Begin();
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, fork), "<outer <c <b <inner ");
  CHECK_EQ(Trace(&AtForkList::RunParent, list, fork), ">inner >b >c >outer ");
  CHECK_EQ(Trace(&AtForkList::RunChild, list, fork), "*inner *b *c *outer ");
}

TEST(handlers_may_lack_a_phase) {
  AtForkList list;
  AtForkHandler only_child = Named(0, "x");
  only_child.prepare = only_child.parent = nullptr;
  CHECK(Added(&list, only_child));
  const uint32_t fork = list.Begin();
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, fork) + Trace(&AtForkList::RunParent, list, fork) +
               Trace(&AtForkList::RunChild, list, fork),
           "*x ");
}

AtForkList growing;
const AtForkHandler late = Named(-1, "late");

TEST(a_handler_added_by_a_handler_takes_part_from_the_next_fork_on) {
  const AtForkHandler first = Named(0, "first");
  const AtForkHandler adder = {1, [](void*) { CHECK(Added(&growing, late)); }, nullptr, nullptr, nullptr};
  CHECK(Added(&growing, first));
  CHECK(Added(&growing, adder));
  const uint32_t fork = growing.Begin();
  CHECK_EQ(Trace(&AtForkList::RunPrepare, growing, fork), "<first ");
  CHECK_EQ(Trace(&AtForkList::RunParent, growing, fork), ">first ");
  CHECK_EQ(Trace(&AtForkList::RunChild, growing, fork), "*first ");
  CHECK_EQ(Trace(&AtForkList::RunPrepare, growing, growing.Begin()), "<late <first ");
}

TEST(a_full_list_says_so_and_goes_on_working) {
  AtForkList list;
  const AtForkHandler a = Named(0, "a");
  for (uint32_t i = 0; i < AtForkList::kCapacity; ++i) CHECK(Added(&list, a));
  CHECK(!Added(&list, a));
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, list.Begin()).size(),
           AtForkList::kCapacity * std::string("<a ").size());
}

TEST(a_removed_handler_ends_the_fork_that_it_has_begun) {
  AtForkList list;
  const AtForkHandler a = Named(0, "a"), b = Named(0, "b");
  const uint32_t index = list.Add(&a);
  CHECK(Added(&list, b));
  const uint32_t fork = list.Begin();
  CHECK(list.Remove(index));
  CHECK(!list.Remove(index));
  CHECK(!list.Remove(7));
  CHECK_EQ(Trace(&AtForkList::RunParent, list, fork), ">a >b ");
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, list.Begin()), "<b ");
}

TEST(a_pass_is_about_the_ranks_that_it_is_given) {
  AtForkList list;
  const AtForkHandler low = Named(-1, "low"), middle = Named(0, "middle"), high = Named(1, "high");
  for (const AtForkHandler* handler : {&low, &middle, &high}) CHECK(Added(&list, *handler));
  CHECK_EQ(Trace(&AtForkList::RunPrepare, list, list.Begin(), {INT_MIN, 0}), "<low <middle ");
  CHECK_EQ(Trace(&AtForkList::RunChild, list, list.Begin(), {1, INT_MAX}), "*high ");
}

}  // namespace
