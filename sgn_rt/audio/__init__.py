"""Recordings in, stems out: files, arrays, rates, the music that ships."""
