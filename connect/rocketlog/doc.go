// Package rocketlog is the connect.Log that lives in a RocketMQ cluster, which
// any number of processes may share.
//
// # Topics
//
// The topics of a log are in a namespace: the one named "shop.orders" is
// towline%shop|2Eorders at the brokers, see brokerName. Partitions are dealt to
// the brokers in turns when a topic is made. What has been dealt is kept in the
// state and never asked of a name server, which forgets the queues of a broker
// that is away. Nobody else may write into the namespace; whoever wants to may
// read. Brokers drop messages by their age; Trim does nothing.
//
// # Places and offsets
//
// A broker numbers what lands in a queue: that number is called the place of a
// message here. Offsets are our own and have no gaps. Each message carries a
// stamp, the place that it is meant for and its offset, and it counts only if it
// landed there:
//
//	tw=<place>.<offset>.<writer>.<batch>[.<part>.<parts>]      numbers to the base 36
//
// So a message that was sent twice, because an answer got lost, counts once; one
// that comes late, from a process that is dead or a connection that is cut,
// does not count, as the place that it was meant for is taken; and every reader
// sees the same without remembering anything. Who does not know of stamps sees
// such messages as well, and can tell them by comparing the stamp's place with
// the queue offset.
//
// A broker that opens or shuts its files may pass over messages in an answer, as
// if nothing had been there. Places of a topic without compaction have no gaps, so
// what is missing is waited for (Options.Wait), by readers and by who looks for
// what has landed: see queue.inSight.
//
// Of a message, place minus offset never falls from one that counts to the
// next; finding an offset is a search by halves, or one look where nothing
// ever went wrong.
//
// # Appending
//
// One batch of up to 3 MiB is in flight for a queue: brokers may swap two
// requests even of one connection. The order of a partition is therefore the order of appending,
// through lost answers and restarts of brokers. When an answer does not come, or
// names another place, the queue is read from the expected place on: what is in
// place is taken for sent, the rest is sent again. A fault of brokers or network
// is waited out (Options.Wait). Who has not yet written to a queue and finds
// that another has since its end was looked at, gets an error instead and must
// look again; a task that goes on after a crash depends on it.
//
// Values above 2 MiB are split over several messages with one offset, and
// readers join them. A key that is printable is the property KEYS; all that is not
// in the value is in the property twm, or in front of the body where it is much.
//
// Messages are as durable as the brokers are told to make them: with
// flushDiskType=SYNC_FLUSH they survive the loss of power, without it that of
// the process. A broker that has lost messages is noticed when the next one
// lands before its place.
//
// # Not atomic
//
// Append writes to each queue by itself, and saves the entries when all
// messages are there. Atomic reports false: whoever must not write a change
// twice reads back what there is before it appends.
//
// # State
//
// Entries and the layout of topics are in one queue of one topic with
// compaction, |offsets, and here in memory as a whole. It is read from place 0
// on, since brokers tell a wrong first offset for such topics. A save is a run of
// messages that counts when the last one is there; deletions are messages too.
// What compaction would keep though it does not count is written over. Opening a
// state and loading from it write a small message: where that lands tells what
// others have saved before, which brokers tell late when they are asked for the
// end; and behind it nothing of earlier writers can count.
//
// Now and then all entries as of a place are written as a whole, see image, and
// kept in a file where there is a folder for it. Who opens a state begins at the
// newest, and at place 0 where what comes out has not the checksum that it must
// have. Who gets no further asks, in its fence, for an image, and whoever has all
// writes one.
//
// While a broker compacts it may hide messages from a reader, without a word. So
// each save says in the property twc what all entries are as of it, a checksum,
// and who opens a state and has read another reads it again, and gives up with an
// error after Options.Wait.
//
// # Sharing
//
// Beside the store's entries the state has those of a Shared, for processes
// that work together. An Update is decided on what is there as of the place at
// which it lands, or again; so who has a claim is a matter of places and not
// of clocks. Others' writes are followed by a long poll.
//
// One request is in flight. What comes meanwhile, updates, saves of positions and
// loads, goes out together in the next: each is decided on what those before it
// are about to leave, as of its own place, and is a save of its own; so an error is
// that of one alone, and who has decided on what then does not come about is asked
// again. A request is limited in bytes (3 MiB) and updates (256). UpdateFirst, for
// renewals of leases, comes first, also before an image of the state: it waits for
// what is in flight and no other, which is one request but for an update or an
// image that takes several.
//
// A Session is the log as seen by one who has a claim: what it saves counts only
// if the claim holds at the place of the save, and what it appends never comes
// behind messages of the same source by another, see session.
//
// # One writer
//
// With Options.Alone a log has the lease of its namespace: the broker's lock of
// the state's queue, which is renewed. Calls wait while that may have run out,
// as it does while the broker is away; a log whose lease another has got ends.
//
// # Reading
//
// A reader has a goroutine for each partition, and others for pulls that are under
// way. A long poll holds up nobody. While the reader has messages of a partition,
// the next ones gather, up to 256 KiB and the answer with which that is full.
// Where a partition is known to have more, further pulls are under way, up to 8
// and 2 MiB of answers, which all partitions that have more share: brokers give
// few messages at a time, and one pull after the other would wait for the way
// there and back. Pulls are taken in order, see fetcher. Partitions take turns. A
// broker that is away holds up its own partitions only. Closing a reader drops
// what is under way and waits until nobody is left.
//
// # Concurrency
//
// A Log, its Store and Close are safe for concurrent use; a Reader belongs to
// one goroutine. A goroutine writes what waits for the state, as long as something
// does: the one who asked may go. Lock order: a queue, an update, the Shared, then
// mu of the Log or cluster.
package rocketlog
