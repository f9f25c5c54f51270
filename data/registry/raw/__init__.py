"""Raw data as strangers wrote them: places, files, archives, JSON. Whatever is read here is taken as hostile."""
