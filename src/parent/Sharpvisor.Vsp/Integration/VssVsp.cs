// The backup (volume snapshot) service: has hv_vss_daemon freeze and thaw the guest's file systems (drivers/hv/hv_snapshot.c; wire
// format: include/uapi/linux/hyperv.h, struct hv_vss_msg; OpenVMM's hyperv_ic_protocol, vss.rs).
using System.Buffers.Binary;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Makes the guest's disks consistent for a copy. Needs the driver and its daemon in the guest.</summary>
public sealed class VssVsp : IntegrationService
{
    // enum hv_vss_op.
    private const byte HotBackup = 2;
    private const byte Freeze = 5;
    private const byte Thaw = 6;

    private const int MessageBytes = 39;
    // Header, backup type, flags, LUN count and room for 260 LUNs: Linux reads none of it, Windows expects it.
    private const int FreezeMessageBytes = 6260;
    // Flushing may take long; hv_snapshot.c itself waits for up to 15 minutes (VSS_FREEZE_TIMEOUT).
    private static readonly TimeSpan s_freezeTimeout = TimeSpan.FromMinutes(15);

    public VssVsp()
        : base(
            "vss",
            IcMessageType.Vss,
            (new("35fa2e29-ea23-4236-96ae-3a6ebacba440"), new("2450ee40-33bf-4fbd-892e-9fb06e9214cf")),
            new(5, 0),
            new(6, 0),
            new(7, 0))
    {
    }

    /// <summary>The guest's file systems are frozen: <see cref="FreezeAsync"/> succeeded and no <see cref="ThawAsync"/> since.</summary>
    public bool IsFrozen { get; private set; }

    /// <summary>Whether the guest can be backed up while it runs, and its feature flags (VSS_HBU_NO_AUTO_RECOVERY).</summary>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task<uint> CheckHotBackupAsync(CancellationToken cancellation = default)
    {
        byte[] answer = await DemandAsync(Message(HotBackup, MessageBytes), "be backed up", cancellation);
        return answer.Length >= 12 ? BinaryPrimitives.ReadUInt32LittleEndian(answer.AsSpan(8)) : 0;
    }

    /// <summary>Flushes and freezes all file systems; writes in the guest block until <see cref="ThawAsync"/>.</summary>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task FreezeAsync(CancellationToken cancellation = default)
    {
        _ = await DemandAsync(Message(Freeze, FreezeMessageBytes), "freeze its file systems", cancellation, s_freezeTimeout);
        IsFrozen = true;
    }

    /// <summary>Undoes <see cref="FreezeAsync"/>.</summary>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task ThawAsync(CancellationToken cancellation = default)
    {
        _ = await DemandAsync(Message(Thaw, MessageBytes), "thaw its file systems", cancellation);
        IsFrozen = false;
    }

    private protected override void OnStopped() => IsFrozen = false;

    private static byte[] Message(byte operation, int bytes)
    {
        byte[] message = new byte[bytes];
        message[0] = operation;
        return message;
    }
}
