// Submission and completion queues (NVMe 1.4, 4.1): rings in guest memory. Only the controller's worker touches them; a doorbell leaves its
// value in a mailbox of the controller.
namespace Sharpvisor.Devices.Nvme;

internal sealed class NvmeCompletionQueue(int id, ulong gpa, uint entries, bool interrupts, int vector)
{
    public const int EntryBytes = 16;

    public int Id => id;

    public ulong Gpa => gpa;

    public uint Entries => entries;

    public bool Interrupts => interrupts;

    public int Vector => vector;

    public uint Head { get; set; }

    public uint Tail { get; set; }

    /// <summary>The phase tag of entries to come: inverted with each pass through the ring.</summary>
    public bool Phase { get; set; } = true;

    /// <summary>Entries were written since the last interrupt.</summary>
    public bool IsDirty { get; set; }

    /// <summary>Submission queues that complete here.</summary>
    public int Users { get; set; }

    /// <summary>Commands that are done and found the ring full. Their queues fetch nothing meanwhile.</summary>
    public Queue<NvmeRequest> Waiting { get; } = new();

    public bool IsFull => (Tail + 1) % entries == Head;
}

internal sealed class NvmeSubmissionQueue(int id, ulong gpa, uint entries, NvmeCompletionQueue completions)
{
    public int Id => id;

    public ulong Gpa => gpa;

    public uint Entries => entries;

    public NvmeCompletionQueue Completions => completions;

    public uint Head { get; set; }

    /// <summary>Commands fetched and not completed.</summary>
    public int InFlight { get; set; }

    /// <summary>The command that deletes this queue; it completes when <see cref="InFlight"/> is 0.</summary>
    public NvmeRequest? Deletion { get; set; }
}
