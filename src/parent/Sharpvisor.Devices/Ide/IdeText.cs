// Strings and the checksum of IDENTIFY data (ATA/ATAPI-7 volume 1, 3.2.9 and 6.17.70).
namespace Sharpvisor.Devices.Ide;

internal static class IdeText
{
    /// <summary>Writes a string as ATA does: padded with spaces, the first character in the high byte of each word.</summary>
    public static void Write(Span<byte> data, int firstWord, int words, string text)
    {
        for (int i = 0; i < words * 2; i++)
        {
            data[(firstWord * 2) + (i ^ 1)] = (byte)(i < text.Length ? text[i] : ' ');
        }
    }

    /// <summary>Fills in the integrity word: the sum of all 512 bytes is 0.</summary>
    public static void Sign(Span<byte> data)
    {
        data[510] = 0xA5;
        byte sum = 0;
        for (int i = 0; i < 511; i++)
        {
            sum += data[i];
        }

        data[511] = (byte)-sum;
    }
}
