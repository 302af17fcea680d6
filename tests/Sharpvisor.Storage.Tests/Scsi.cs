// Runs commands on a target and looks at the result.
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Tests;

internal sealed class Scsi(IScsiTarget target)
{
    public ScsiRequest Request { get; } = new();

    public byte[] Data { get; private set; } = [];

    /// <summary>Sense key, ASC and ASCQ as 0xKAAQQ; 0 for GOOD.</summary>
    public int Sense => Request.Status == ScsiStatus.Good
        ? 0
        : ((Request.Sense[2] & 0xF) << 16) | (Request.Sense[12] << 8) | Request.Sense[13];

    public async Task<byte[]> In(int bytes, params byte[] cdb)
    {
        Data = new byte[bytes];
        await Run(cdb);
        return Data[..Request.TransferredBytes];
    }

    public async Task Out(byte[] data, params byte[] cdb)
    {
        Data = data;
        await Run(cdb);
    }

    private async Task Run(byte[] cdb)
    {
        Request.Reset();
        cdb.CopyTo(Request.Cdb);
        // In pieces that respect no boundary, as guests' scatter/gather lists do.
        for (int i = 0; i < Data.Length; i += 1000)
        {
            Request.Data.Add(Data.AsMemory(i, Math.Min(1000, Data.Length - i)));
        }

        await target.ExecuteAsync(Request);
    }
}
