// at_fork_list_test.cc - the order of at-fork handlers, without a fork.
// Runs in:  native_tests.
#include "posix/at_fork_list.h"

#include <string>

#include "test.h"

namespace {

using atfork::AtForkHandler;
using atfork::AtForkList;

std::string trace;

void Note(const char* phase, void* arg) { trace += phase + std::string(static_cast<const char*>(arg)) + " "; }

// A handler that writes its name down; static storage, as the list wants it.
AtForkHandler Named(int rank, const char* name) {
  return {rank, [](void* arg) { Note("<", arg); }, [](void* arg) { Note(">", arg); }, [](void* arg) { Note("*", arg); },
          const_cast<char*>(name)};
}

std::string Trace(void (AtForkList::*run)(uint32_t) const, const AtForkList& list, uint32_t limit) {
  trace.clear();
  (list.*run)(limit);
  return trace;
}

TEST(prepare_runs_backwards_and_the_others_forwards) {
  AtForkList list;
  const AtForkHandler a = Named(0, "a"), b = Named(0, "b"), c = Named(0, "c");
  for (const AtForkHandler* handler : {&a, &b, &c}) CHECK(list.Add(handler));
  trace.clear();
  const uint32_t limit = list.RunPrepare();
  CHECK_EQ(trace, "<c <b <a ");
  CHECK_EQ(Trace(&AtForkList::RunParent, list, limit), ">a >b >c ");
  CHECK_EQ(Trace(&AtForkList::RunChild, list, limit), "*a *b *c ");
}

TEST(a_low_rank_is_outermost_whenever_it_was_registered) {
  AtForkList list;
  const AtForkHandler inner = Named(9, "inner"), outer = Named(-1, "outer"), b = Named(5, "b"), c = Named(5, "c");
  for (const AtForkHandler* handler : {&inner, &b, &outer, &c}) CHECK(list.Add(handler));
  trace.clear();
  const uint32_t limit = list.RunPrepare();
  CHECK_EQ(trace, "<outer <c <b <inner ");
  CHECK_EQ(Trace(&AtForkList::RunParent, list, limit), ">inner >b >c >outer ");
  CHECK_EQ(Trace(&AtForkList::RunChild, list, limit), "*inner *b *c *outer ");
}

TEST(handlers_may_lack_a_phase) {
  AtForkList list;
  AtForkHandler only_child = Named(0, "x");
  only_child.prepare = only_child.parent = nullptr;
  CHECK(list.Add(&only_child));
  trace.clear();
  const uint32_t limit = list.RunPrepare();
  CHECK_EQ(trace + Trace(&AtForkList::RunParent, list, limit) + Trace(&AtForkList::RunChild, list, limit), "*x ");
}

AtForkList growing;
const AtForkHandler late = Named(-1, "late");

TEST(a_handler_added_by_a_handler_takes_part_from_the_next_fork_on) {
  const AtForkHandler first = Named(0, "first");
  const AtForkHandler adder = {1, [](void*) { CHECK(growing.Add(&late)); }, nullptr, nullptr, nullptr};
  CHECK(growing.Add(&first));
  CHECK(growing.Add(&adder));
  trace.clear();
  const uint32_t limit = growing.RunPrepare();
  CHECK_EQ(trace, "<first ");
  CHECK_EQ(Trace(&AtForkList::RunParent, growing, limit), ">first ");
  CHECK_EQ(Trace(&AtForkList::RunChild, growing, limit), "*first ");
  trace.clear();
  CHECK_EQ(growing.RunPrepare(), 3u);
  CHECK_EQ(trace, "<late <first ");
}

TEST(a_full_list_says_so_and_goes_on_working) {
  AtForkList list;
  const AtForkHandler a = Named(0, "a");
  for (uint32_t i = 0; i < AtForkList::kCapacity; ++i) CHECK(list.Add(&a));
  CHECK(!list.Add(&a));
  CHECK_EQ(list.RunPrepare(), AtForkList::kCapacity);
}

}  // namespace
